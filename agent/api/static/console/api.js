// The public REST API (/v1/openapi.json), and its live events. The key stays in this tab.

const STORED = "crosstalk.key";
const QUIET_MS = 40_000; // the service says something every 15 s: a stream that is quieter is dead
const BACK_OFF_MS = [500, 1000, 2000, 4000, 8000];

export class ApiError extends Error {
  constructor(status, detail, problems = []) {
    super(detail);
    this.status = status;
    this.problems = problems;
  }
}

export const key = () => sessionStorage.getItem(STORED) ?? "";

export function keep(value) {
  if (value) sessionStorage.setItem(STORED, value);
  else sessionStorage.removeItem(STORED);
}

let locked = () => {};

/** Called with the reason whenever the service wants another key. */
export function whenLocked(callback) {
  locked = callback;
}

/** JSON of one request; `null` where the answer has none. Throws `ApiError`; status 0: the service does not answer. */
export async function ask(method, path, body) {
  const answer = await sent(method, path, body);
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

/** A file, as a URL for this page. With a key it has to be fetched whole: an audio element cannot show one. */
export async function fileUrl(path) {
  if (!key()) return path;
  return URL.createObjectURL(await (await sent("GET", path)).blob());
}

async function sent(method, path, body, { headers = {}, signal } = {}) {
  const options = { method, signal, headers: { ...headers, ...authorization() } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The service does not answer. Is it running?");
  }
  if (!answer.ok) throw await refused(answer);
  return answer;
}

const authorization = () => (key() ? { Authorization: `Bearer ${key()}` } : {});

async function refused(answer) {
  const problem = await answer.json().catch(() => ({}));
  let detail = problem.detail ?? answer.statusText ?? "refused";
  const wait = answer.headers.get("Retry-After");
  if (wait) detail += ` (again in ${wait} s)`;
  if (answer.status === 401) locked(key() ? `This key was not taken: ${detail}.` : "");
  return new ApiError(answer.status, detail, problem.problems ?? []);
}

/** Live events of all calls that the key sees. Comes back by itself, and goes on behind the last event it has seen. */
export class Live {
  #listeners = new Set();
  #lastId = "";
  #tries = 0;
  #stop = new AbortController();
  #pause = null; // {over, end}: while nobody looks
  #one = null; // the request that runs

  constructor(shown) {
    this.shown = shown; // told "live", "away", or what the service refuses
  }

  /** `onEvent({kind, call_id, at_ms, data})`; `onGap()`: something may have been missed, ask again. */
  listen(onEvent, onGap) {
    const listener = { onEvent, onGap };
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async run() {
    while (!this.#stop.signal.aborted) {
      await this.#pause?.over;
      try {
        await this.#read();
      } catch (error) {
        if (error instanceof ApiError && [401, 403].includes(error.status)) return this.shown(error.message);
      }
      if (this.#stop.signal.aborted) return;
      if (this.#pause) continue;
      this.shown("away");
      await new Promise((resolve) => setTimeout(resolve, BACK_OFF_MS[Math.min(this.#tries++, BACK_OFF_MS.length - 1)]));
    }
  }

  close() {
    this.#stop.abort();
    this.resume();
  }

  /** A browser has six connections to a service: tabs that nobody looks at give theirs back. */
  pause() {
    if (this.#pause) return;
    const pause = {};
    pause.over = new Promise((resolve) => (pause.end = resolve));
    this.#pause = pause;
    this.#tries ||= 1; // what happened meanwhile is asked for
    this.#one?.abort();
  }

  resume() {
    this.#pause?.end();
    this.#pause = null;
  }

  async #read() {
    const one = new AbortController();
    this.#one = one;
    const end = () => one.abort();
    this.#stop.signal.addEventListener("abort", end);
    let quiet = setTimeout(end, QUIET_MS);
    try {
      const headers = this.#lastId ? { "Last-Event-ID": this.#lastId } : {};
      const answer = await sent("GET", "/v1/events", undefined, { headers, signal: one.signal });
      this.shown("live");
      if (this.#tries) this.#gap();
      this.#tries = 0;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(quiet);
        quiet = setTimeout(end, QUIET_MS);
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop();
        blocks.forEach((block) => this.#take(block));
      }
    } finally {
      clearTimeout(quiet);
      this.#stop.signal.removeEventListener("abort", end);
      one.abort();
    }
  }

  #take(block) {
    const found = {};
    for (const line of block.split("\n")) {
      const colon = line.indexOf(": ");
      if (colon > 0) found[line.slice(0, colon)] = line.slice(colon + 2);
    }
    if (found.id) this.#lastId = found.id;
    if (found.event === "lost") return this.#gap();
    if (!found.data) return;
    const event = { kind: found.event, ...JSON.parse(found.data) };
    for (const listener of [...this.#listeners]) listener.onEvent(event);
  }

  #gap() {
    for (const listener of [...this.#listeners]) listener.onGap();
  }
}
