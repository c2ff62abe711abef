// The service as a whole: is it well, how much room is left, how long do the steps take, where do webhooks go.

import { ask } from "/console/api.js";
import { draw, fill, h, say, told } from "/console/dom.js";
import { counted } from "/console/format.js";

const ASK_MS = 2000;
const KEPT = 90; // figures of a worker's line: three minutes
const LADDER = ["", "prepares nothing early", "refuses new calls", "judges turns without the net"]; // what a worker gives up

export function openService(root, _name, app) {
  const status = h("p", { class: "status-line", role: "status" });
  const facts = h("dl", {});
  const workers = h("ul", { class: "cards" });
  const cards = new Map();
  const hooks = h("div", {});
  let timer = 0;
  let isClosed = false;
  root.append(
    h("section", { class: "card" }, h("h1", {}, "Service"), status, facts),
    h("section", {}, h("h2", { id: "workers-heading" }, "Workers"), workers),
    h("section", { class: "card" }, h("h2", {}, "Webhook endpoints"), hooks),
  );

  async function look() {
    try {
      const health = await ask("GET", "/v1/health");
      if (isClosed) return;
      showHealth(health);
      showWorkers(health.workers);
    } catch (error) {
      if (isClosed || error.status === 401) return;
      status.className = "status-line degraded";
      say(status, error.status === 403 ? `${error.message}.` : `No answer: ${error.message}`);
      if (error.status === 403) return;
    }
    timer = setTimeout(look, ASK_MS);
  }

  function showHealth(health) {
    status.className = `status-line ${health.status}`;
    say(status, STATUS[health.status] ?? health.status);
    const rows = health.workers.reduce((sum, { rows: all }) => sum + all, 0);
    fill(
      facts,
      [
        ["calls", `${health.calls} of ${counted(rows, "row")}`],
        ["version", health.version],
        health.voice && ["voice", voiceOf(health.voice)],
        health.ears && ["ears", `${health.ears.model}${health.ears.why ? ` (not ${health.ears.instead_of}: ${health.ears.why})` : ""}, words by ${health.ears.recogniser}`],
        ["store", health.store.is_away ? `away, ${health.store.backlog_bytes} bytes wait` : "there"],
        ["webhooks waiting", health.webhooks.backlog === null ? "unknown: the store is away" : String(health.webhooks.backlog)],
        health.webhooks.disabled.length > 0 && ["endpoints off", health.webhooks.disabled.join(", ")],
        health.edge?.scheduling && ["media scheduling", String(health.edge.scheduling)],
        ["API", health.api.auth === "open" ? "open to this machine (no keys yet)" : "with keys"],
        ["who watches", counted(health.watchers ?? 0, "stream")],
      ]
        .filter(Boolean)
        .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, told(value)))),
    );
  }

  function showWorkers(found) {
    for (const name of [...cards.keys()]) if (!found.some((worker) => worker.name === name)) cards.delete(name);
    for (const worker of found) {
      if (!cards.has(worker.name)) cards.set(worker.name, workerCard(worker.name));
      cards.get(worker.name).show(worker);
    }
    const inOrder = [...cards.keys()].sort((a, b) => isSpare(a) - isSpare(b) || a.localeCompare(b, undefined, { numeric: true }));
    fill(workers, inOrder.map((name) => cards.get(name).element));
  }

  look();
  showEndpoints(hooks, app);
  return () => {
    isClosed = true;
    clearTimeout(timer);
  };
}

const voiceOf = ({ name, word_times, instead_of }) =>
  `${name}${instead_of ? ` in place of ${instead_of}, which failed` : ""}${word_times === "exact" ? "" : `, word times ${word_times}`}`;

const isSpare = (name) => name.startsWith("spare");

const STATUS = {
  ready: "Ready: new calls are taken.",
  draining: "Draining: running calls go on, new ones are refused.",
  degraded: "Degraded: a part is missing. The log says which (worker, edge).",
};

function workerCard(name) {
  const state = h("span", { class: "state" });
  const seats = h("p", {});
  const bar = h("progress", { "aria-label": `Rows of ${name} in use` });
  const line = draw("svg", { viewBox: "0 0 180 40", class: "spark", preserveAspectRatio: "none", "aria-hidden": "true" });
  const step = h("p", {});
  const counters = h("p", { class: "soft" });
  const kept = [];
  return {
    element: h("li", { class: "card worker" }, h("div", { class: "line" }, h("h3", {}, name), state), bar, seats, line, step, counters),
    show(worker) {
      bar.max = Math.max(1, worker.rows);
      bar.value = worker.seats;
      say(state, isSpare(name) && worker.seats === 0 ? "warm spare" : (LADDER[worker.degradation ?? 0] ?? ""));
      say(seats, `${worker.seats} of ${counted(worker.rows, "row")} in use`);
      if (worker.step_p99_ms === undefined) {
        say(step, "No step measured yet.");
        return;
      }
      const budget = worker.step_ms;
      if (worker.step_p99_ms === 0) say(step, `No step in the last second; there would be ${budget} ms for one.`);
      else say(step, `step ${worker.step_p50_ms.toFixed(1)} ms, at worst ${worker.step_p99_ms.toFixed(1)} ms (p99) of ${budget} ms`);
      step.className = worker.step_p99_ms > budget ? "problem" : "";
      const { wanted, live, given_up } = worker.recognisers ?? {};
      const ears = wanted ? `, ${live} of ${counted(wanted, "recogniser")}${given_up ? ` (${counted(given_up, "utterance")} given up)` : ""}` : "";
      say(counters, `${counted(worker.late_rows, "late row")}, ${counted(worker.overruns, "overrun")}, ${counted(worker.failed_rows, "failed row")}${ears}`);
      kept.push(worker.step_p99_ms);
      if (kept.length > KEPT) kept.shift();
      const y = (ms) => 38 - 36 * Math.min(1, ms / budget);
      fill(
        line,
        draw("line", { class: "budget", x1: 0, x2: 180, y1: y(budget), y2: y(budget) }),
        draw("polyline", { points: kept.map((ms, at) => `${180 - 2 * (kept.length - 1 - at)},${y(ms).toFixed(1)}`).join(" ") }),
      );
    },
  };
}

async function showEndpoints(hooks, app) {
  let endpoints;
  try {
    ({ endpoints } = await ask("GET", "/v1/webhooks"));
  } catch (error) {
    return fill(hooks, h("p", { class: "soft" }, `${error.message}.`));
  }
  if (!endpoints.length) {
    return fill(hooks, h("p", { class: "soft" }, "Nobody is told of calls yet. Add an endpoint with ", h("code", {}, "POST /v1/webhooks"), " or under ", h("code", {}, "[[webhooks.endpoints]]"), "."));
  }
  return fill(hooks, h("ol", { class: "rows endpoints" }, endpoints.map((endpoint) => endpointRow(endpoint, app))));
}

function endpointRow(endpoint, app) {
  const came = h("span", { class: "soft", role: "status" });
  const test = async () => {
    try {
      const { status, latency_ms, error } = await ask("POST", `/v1/webhooks/${encodeURIComponent(endpoint.name)}/test`);
      say(came, error ? `failed: ${error}` : `HTTP ${status} in ${latency_ms} ms`);
    } catch (error) {
      say(came, error.message);
    }
  };
  return h(
    "li",
    {},
    h("b", {}, told(endpoint.name)),
    h("span", { class: "url" }, told(endpoint.url)),
    h("span", { class: "soft" }, endpoint.events.includes("*") ? "all events" : endpoint.events.join(", ")),
    endpoint.is_disabled ? h("span", { class: "hook-state failed" }, "off: it answered 410") : null,
    h("span", { class: "again" }, came, app.may("webhooks:write") ? h("button", { type: "button", class: "small", onclick: test, "aria-label": `Send a test to ${endpoint.name}` }, "Send a test") : null),
  );
}
