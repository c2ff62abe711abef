// Calls: those that run, as they run, and those that are over.

import { ask } from "/console/api.js";
import { fill, h, say, told } from "/console/dom.js";
import { Speaking } from "/console/floor.js";
import { clock, counted, duration, lineQuality, party, words } from "/console/format.js";

const PAGE = 50;
const BEAT_MS = 1000;
const MOST_LIVE = 200; // of one page
const RELOAD_MS = 200;
const REFRESH_MS = 10_000; // figures that no event tells (turns, answers)

export function openCalls(root, _name, app) {
  const cards = new Map(); // call_id → card
  const live = h("ul", { class: "cards", "aria-labelledby": "live-heading" });
  const liveHeading = h("h1", { id: "live-heading" }, "Live calls");
  const nobody = emptyState(app);
  const past = pastCalls();
  root.append(h("section", {}, liveHeading, live, nobody), past.section);

  async function refresh() {
    try {
      const { calls } = await ask("GET", `/v1/calls?live=true&limit=${MOST_LIVE}`);
      const running = new Set(calls.map((call) => call.call_id));
      for (const id of [...cards.keys()]) if (!running.has(id)) cards.delete(id);
      for (const call of calls) cardOf(call).show(call);
    } catch (error) {
      if (error.status !== 401) say(liveHeading, `Live calls: ${error.message}`);
      return;
    }
    arrange();
  }

  function cardOf(call) {
    if (!cards.has(call.call_id)) cards.set(call.call_id, liveCard(call, app));
    return cards.get(call.call_id);
  }

  function arrange() {
    const many = cards.size < MOST_LIVE ? "" : "the newest ";
    say(liveHeading, cards.size ? `Live calls (${many}${cards.size})` : "Live calls");
    nobody.hidden = cards.size > 0;
    const newestFirst = [...cards.values()].sort((a, b) => b.since - a.since);
    fill(live, newestFirst.map((card) => card.element));
  }

  let asked = 0; // one request for many events
  function soon() {
    asked ||= setTimeout(() => {
      asked = 0;
      refresh();
    }, RELOAD_MS);
  }

  function onEvent({ kind, call_id, data }) {
    const card = cards.get(call_id);
    if (kind === "state" && (!card || data.state === "ended")) soon();
    if (kind === "call.ended") {
      cards.delete(call_id);
      arrange();
      past.reload();
    }
    card?.event(kind, data);
  }

  const leave = app.live.listen(onEvent, () => {
    refresh();
    past.reload();
  });
  const beat = setInterval(() => cards.forEach((card) => card.beat()), BEAT_MS);
  const again = setInterval(refresh, REFRESH_MS);
  refresh();
  past.reload();
  return () => {
    leave();
    [beat, again].forEach(clearInterval);
    clearTimeout(asked);
  };
}

function emptyState(app) {
  const host = location.hostname;
  const command = h("pre", {}, `crosstalk call sip:agent@${host}`);
  const address = h("code", {}, `sip:agent@${host}`);
  if (app.isOperator && app.may("service:read")) {
    ask("GET", "/v1/health").then(({ sip }) => {
      if (!sip) return;
      say(address, `sip:agent@${host}:${sip.port}`);
      say(command, `crosstalk call sip:agent@${host}:${sip.port}`);
    }, () => {});
  }
  return h(
    "div",
    { class: "card empty", hidden: true },
    h("p", {}, "Nobody is on the line."),
    h(
      "p",
      {},
      h("a", { href: "/" }, "Talk to the agent from this browser"),
      ", call ",
      address,
      " from a softphone, or let a simulated caller ring:",
    ),
    command,
    h("p", {}, "The call appears here while it rings."),
  );
}

// --- a call that runs ----------------------------------------------------------------------------------------------

function liveCard(call, app) {
  const time = h("span", { class: "time" });
  const state = h("span", { class: "state" });
  const figures = h("p", { class: "figures" });
  const link = h("a", { href: `#/calls/${encodeURIComponent(call.call_id)}` });
  const end = app.may("calls:steer") && endButton(call.call_id, call.from_uri);
  const element = h("li", { class: "card live" });
  const speaking = new Speaking(element);
  element.append(h("div", { class: "line" }, h("h2", {}, link), state, time), ...speaking.elements, h("div", { class: "line" }, figures, end || ""));
  let answeredAt = null;
  let quality = null;
  let view = {};

  function showFigures() {
    const line = lineQuality(quality);
    fill(
      figures,
      [
        `${counted(view.turns ?? 0, "turn")}, ${counted(view.interruptions ?? 0, "interruption")}`,
        view.response_ms !== null && view.response_ms !== undefined && `answers in ${view.response_ms} ms`,
        line && h("span", { class: `quality ${line.grade}`, title: line.text }, `line ${line.grade}`),
        view.worker && `${view.worker} row ${view.row}`,
        view.is_recorded && h("span", { class: "recorded" }, "recorded"),
      ]
        .filter(Boolean)
        .flatMap((part, at) => (at ? [h("span", { class: "dot" }, " · "), part] : [part])),
    );
  }

  const EVENTS = {
    quality: (data) => {
      quality = data;
      showFigures();
    },
    state: (data) => say(state, data.state === "active" ? "" : data.state),
    turn: ({ phase }) => {
      if (phase === "ended") view.turns = (view.turns ?? 0) + 1;
      showFigures();
    },
    response: ({ latency_ms }) => {
      view.response_ms = latency_ms;
      showFigures();
    },
    "call.started": () => {
      answeredAt ??= Date.now() / 1000;
    },
    "call.interrupted": () => {
      view.interruptions = (view.interruptions ?? 0) + 1;
      showFigures();
    },
  };

  return {
    element,
    since: call.created_at,
    event(kind, data) {
      speaking.event(kind, data);
      EVENTS[kind]?.(data);
    },
    beat: () => say(time, answeredAt ? duration(Date.now() / 1000 - answeredAt) : "…"),
    show(found) {
      view = found.live ?? {};
      quality = view.quality?.received === undefined ? quality : view.quality;
      answeredAt = found.answered_at ? Date.now() / 1000 - (view.media_ms ?? 0) / 1000 : null;
      fill(link, told(party(found.direction === "outbound" ? found.to_uri : found.from_uri)), found.direction === "outbound" ? " (we called)" : "");
      say(state, found.state === "active" ? "" : found.state);
      if (view.floor) speaking.move(view.floor);
      speaking.begin(h("span", { class: "word" }, `to ${found.agent}, by ${found.transport}`));
      showFigures();
      this.beat();
    },
  };
}

/** Ends a call at its second press: the first only asks. */
export function endButton(callId, name) {
  const told = h("span", { class: "problem", role: "alert" });
  const button = h("button", { type: "button", class: "end", "aria-label": `End the call of ${party(name)}` }, "End");
  let asking = 0;
  const rest = () => {
    clearTimeout(asking);
    asking = 0;
    button.classList.remove("sure");
    say(button, "End");
  };
  button.addEventListener("click", async () => {
    if (!asking) {
      button.classList.add("sure");
      say(button, "End it now?");
      asking = setTimeout(rest, 4000);
      return;
    }
    rest();
    button.disabled = true;
    try {
      await ask("POST", `/v1/calls/${encodeURIComponent(callId)}/hangup`);
    } catch (error) {
      say(told, error.message);
      button.disabled = false;
    }
  });
  button.addEventListener("blur", rest);
  return h("span", { class: "ending" }, told, button);
}

// --- calls that are over -------------------------------------------------------------------------------------------

function pastCalls() {
  const list = h("ol", { class: "rows past" });
  const more = h("button", { type: "button", hidden: true, onclick: () => load(next) }, "Older calls");
  const problem = h("p", { class: "problem", role: "alert" });
  const none = h("p", { class: "soft", hidden: true }, "None yet. A call that has ended stays here, with all that happened in it.");
  const head = h("p", { class: "head", "aria-hidden": "true" }, ...["when", "who", "talked", "turns", "answers in", "end"].map((name) => h("span", {}, name)));
  const section = h("section", { class: "card" }, h("h2", {}, "Past calls"), head, list, none, problem, more);
  let next = null;

  async function load(before) {
    try {
      const page = await ask("GET", `/v1/calls?state=ended&limit=${PAGE}${before ? `&before=${encodeURIComponent(before)}` : ""}`);
      const rows = page.calls.map(pastRow);
      if (before) list.append(...rows);
      else list.replaceChildren(...rows);
      next = page.next;
      more.hidden = !next;
      none.hidden = list.childElementCount > 0;
      head.hidden = !none.hidden;
      say(problem, "");
    } catch (error) {
      say(problem, error.message);
    }
  }
  let asked = 0;
  return {
    section,
    /** Soon, and once for many calls that end together. */
    reload() {
      asked ||= setTimeout(() => {
        asked = 0;
        load();
      }, RELOAD_MS);
    },
  };
}

function pastRow(call) {
  const outbound = call.direction === "outbound";
  const { duration_s, turns, response_p50_ms, dial } = call.data;
  const answer = response_p50_ms ?? null;
  const end = dial?.status ? `${words(call.reason)} (${dial.status})` : words(call.reason);
  return h(
    "li",
    {},
    h(
      "a",
      { href: `#/calls/${encodeURIComponent(call.call_id)}` },
      h("span", {}, clock(call.created_at)),
      h("span", { class: "who" }, outbound ? "to " : "", told(party(outbound ? call.to_uri : call.from_uri))),
      h("span", { "data-label": "talked" }, call.answered_at ? duration(duration_s ?? 0) : "–"),
      h("span", { "data-label": "turns" }, String(turns ?? 0)),
      h("span", { "data-label": "answers in" }, answer === null ? "–" : `${answer} ms`),
      h("span", { class: `result ${call.result}` }, end),
    ),
  );
}
