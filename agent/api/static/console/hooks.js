// A call's events and the attempts to deliver them.

import { ask } from "/console/api.js";
import { h, say, told } from "/console/dom.js";
import { clock } from "/console/format.js";

/** Events with their attempts: `{event, attempts, state, told}`; `state` is delivered, failed or waiting. */
export function delivered({ events, attempts }) {
  return events.map((event) => {
    const mine = attempts.filter((attempt) => attempt.event_id === event.event_id);
    const last = new Map(mine.map((attempt) => [attempt.endpoint, attempt]));
    const failed = [...last.values()].filter((attempt) => !arrived(attempt));
    const state = !mine.length ? "waiting" : failed.length ? "failed" : "delivered";
    return { event, attempts: mine, state, told: mine.length ? mine.map(attemptText).join("; ") : "no attempt" };
  });
}

const arrived = ({ status }) => status >= 200 && status < 300;

function attemptText({ endpoint, status, latency_ms, error }) {
  const found = status ? `HTTP ${status}` : error || "no answer";
  return `${endpoint} ${found}${latency_ms ? ` in ${latency_ms} ms` : ""}`;
}

/** The list; `again`: how events are sent again (null: no buttons). */
export function hookList(found, again) {
  if (!found.length) return h("p", { class: "soft" }, "No event yet.");
  const anywhere = found.some((one) => one.attempts.length);
  return [
    h("ol", { class: "rows hooks" }, found.map((one) => hookRow(one, again))),
    anywhere
      ? null
      : h("p", { class: "soft" }, "Nothing was sent: no endpoint wanted these events. Add one with ", h("code", {}, "POST /v1/webhooks"), ", then calls from then on are told to it."),
  ];
}

function hookRow({ event, attempts, state }, again) {
  return h(
    "li",
    {},
    h("span", { class: "seq" }, String(event.seq)),
    h("b", {}, told(event.name)),
    h("span", { class: "soft" }, clock(event.at)),
    h("span", { class: `hook-state ${state}` }, { delivered: "delivered", failed: "failed", waiting: "no attempt" }[state]),
    attemptList(attempts),
    again ? again.form(event) : null,
  );
}

/** One attempt stands in the line of its event; several stand below it, with their times. */
function attemptList(attempts) {
  const isOne = attempts.length === 1;
  const items = attempts.map((attempt, at) =>
    h("li", { class: arrived(attempt) ? "" : "failed" }, isOne ? "" : `${at + 1}. ${clock(attempt.at)} `, told(attemptText(attempt))),
  );
  return h("ul", { class: isOne ? "attempts one" : "attempts" }, items);
}

/** Sends events of a call again. What a form has on its way, or tells, stays there when the list is told anew. */
export class Again {
  #forms = new Map();

  /** `endpoints`: names, one at least. */
  constructor(callId, endpoints) {
    Object.assign(this, { callId, endpoints });
  }

  form(event) {
    if (!this.#forms.has(event.seq)) this.#forms.set(event.seq, this.#made(event));
    return this.#forms.get(event.seq);
  }

  #made(event) {
    const came = h("span", { class: "soft", role: "status" });
    const options = this.endpoints.map((name) => h("option", { value: name }, name));
    const to = options.length > 1 ? h("select", { "aria-label": `Endpoint for ${event.name}` }, options) : null;
    const send = async (pressed) => {
      const button = pressed.currentTarget;
      button.disabled = true;
      say(came, await this.#send(event, to ? to.value : this.endpoints[0]));
      button.disabled = false;
    };
    return h("span", { class: "again" }, came, to, h("button", { type: "button", class: "small", onclick: send, "aria-label": `Send ${event.name} ${event.seq} again` }, "Send again"));
  }

  async #send(event, name) {
    try {
      const { attempts } = await ask("POST", `/v1/webhooks/${encodeURIComponent(name)}/replay`, { call_id: this.callId, seq: event.seq });
      return attempts.map((attempt) => (attempt.error ? `failed: ${attempt.error}` : `HTTP ${attempt.status}`)).join("; ") || "nothing was sent";
    } catch (error) {
      return error.message;
    }
  }
}
