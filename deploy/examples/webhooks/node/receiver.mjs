// A receiver of Crosstalk's webhooks. No packages: WEBHOOK_SECRET=whsec_… node receiver.mjs [port]
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const TOLERANCE_S = 300;
const MOST_BYTES = 64 * 1024;
const KEPT_IDS = 10_000;

// Standard Webhooks: HMAC-SHA256 of `id.timestamp.body`; any of several signatures, neither old nor from the future.
export function isGenuine(secret, headers, body, now) {
  const id = headers["webhook-id"] ?? "";
  const stamp = headers["webhook-timestamp"] ?? "";
  if (!id || !/^\d{1,12}$/.test(stamp) || Math.abs(now - Number(stamp)) > TOLERANCE_S) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const digest = createHmac("sha256", key).update(`${id}.${stamp}.`).update(body).digest("base64");
  const expected = Buffer.from(`v1,${digest}`);
  return (headers["webhook-signature"] ?? "").split(" ").some((one) => {
    const given = Buffer.from(one);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

const seen = new Set(); // at least once: the same webhook-id may come again

function remember(id) {
  seen.add(id);
  if (seen.size > KEPT_IDS) seen.delete(seen.values().next().value);
}

// Your work. Let it be quick (10 s at most), or put the event into a queue of yours.
function handle(event) {
  process.stdout.write(JSON.stringify(event) + "\n");
}

function answer(response, status, value) {
  if (value === undefined) response.writeHead(status).end();
  else response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
}

async function receive(secret, request, response) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MOST_BYTES) return answer(response, 413);
    parts.push(part);
  }
  const body = Buffer.concat(parts); // the raw bytes are what is signed
  if (request.method !== "POST") return answer(response, 405);
  if (!isGenuine(secret, request.headers, body, Date.now() / 1000)) return answer(response, 401);
  const event = JSON.parse(body.toString("utf8"));
  // A question: the caller waits for the answer.
  if (event.type === "call.incoming") return answer(response, 200, { action: "accept", variables: {} });
  if (!seen.has(request.headers["webhook-id"])) {
    remember(request.headers["webhook-id"]);
    handle(event);
  }
  return answer(response, 204);
}

const secret = process.env.WEBHOOK_SECRET ?? "";
if (!secret.startsWith("whsec_")) {
  process.stderr.write("WEBHOOK_SECRET=whsec_… is needed\n");
  process.exit(2);
}
const server = createServer((request, response) => {
  receive(secret, request, response).catch(() => answer(response, 400));
});
server.listen(Number(process.argv[2] ?? 8090), "127.0.0.1", () => {
  process.stderr.write(`listening on http://127.0.0.1:${server.address().port}/\n`);
});
