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

/** The list; `endpoints`: where an event can be sent again (none: no buttons). */
export function hookList(callId, found, endpoints) {
  if (!found.length) return h("p", { class: "soft" }, "No event yet.");
  const anywhere = found.some((one) => one.attempts.length);
  return [
    h("ol", { class: "rows hooks" }, found.map((one) => hookRow(callId, one, endpoints))),
    anywhere
      ? null
      : h("p", { class: "soft" }, "Nothing was sent: no endpoint wanted these events. Add one with ", h("code", {}, "POST /v1/webhooks"), ", then calls from then on are told to it."),
  ];
}

function hookRow(callId, { event, attempts, state }, endpoints) {
  return h(
    "li",
    {},
    h("span", { class: "seq" }, String(event.seq)),
    h("b", {}, told(event.name)),
    h("span", { class: "soft" }, clock(event.at)),
    h("span", { class: `hook-state ${state}` }, { delivered: "delivered", failed: "failed", waiting: "no attempt" }[state]),
    attemptList(attempts),
    endpoints.length ? againForm(callId, event, endpoints) : null,
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

function againForm(callId, event, endpoints) {
  const came = h("span", { class: "soft", role: "status" });
  const to = endpoints.length > 1 ? h("select", { "aria-label": `Endpoint for ${event.name}` }, endpoints.map((name) => h("option", { value: name }, name))) : null;
  const send = async (pressed) => {
    const button = pressed.currentTarget;
    button.disabled = true;
    try {
      const name = to ? to.value : endpoints[0];
      const { attempts } = await ask("POST", `/v1/webhooks/${encodeURIComponent(name)}/replay`, { call_id: callId, seq: event.seq });
      say(came, attempts.map((attempt) => (attempt.error ? `failed: ${attempt.error}` : `HTTP ${attempt.status}`)).join("; ") || "nothing was sent");
    } catch (error) {
      say(came, error.message);
    }
    button.disabled = false;
  };
  return h("span", { class: "again" }, came, to, h("button", { type: "button", class: "small", onclick: send, "aria-label": `Send ${event.name} ${event.seq} again` }, "Send again"));
}
