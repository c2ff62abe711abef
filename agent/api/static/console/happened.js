// What happened in a call, line by line: each entry of the timeline, each event and its deliveries, as text.

import { fill, h, told } from "/console/dom.js";
import { FLOOR } from "/console/floor.js";
import { mediaTime, words } from "/console/format.js";

/** Kinds of lines that can be shown or hidden: name, label. */
const GROUPS = [
  ["said", "words"],
  ["floor", "floor"],
  ["tools", "tools and orders"],
  ["webhooks", "webhooks"],
  ["dialogue", "dialogue"],
];

const soft = (...parts) => h("span", { class: "note" }, ...parts);

const LINES = {
  turn: ({ phase, text, why, early }) =>
    phase === "ended" && ["said", "caller", text ? told(text) : soft("(nothing understood)"), soft(` ended by ${words(why)}${early ? ", the answer was ready" : ""}`)],
  utterance: ({ phase, heard, unheard, why }) =>
    phase === "ended" && ["said", "agent", told(heard, { class: "word heard" }), heard && unheard ? " " : "", unheard ? told(unheard, { class: "word unheard", title: "never heard by the caller" }) : "", unheard ? soft(` ${words(why)}`) : ""],
  dtmf: ({ digit }) => ["said", "caller", "key ", h("kbd", {}, told(digit))],
  appended: ({ channel, text }) => ["said", "", soft(told(channel), ": "), told(text)],
  floor: ({ before, after, cause, why }) =>
    ["floor", "", soft("floor "), floorName(before), " → ", floorName(after), soft(` ${words(cause)}${why ? ": " : ""}`), why ? soft(told(words(why))) : ""],
  overlap: ({ verdict, ms }) => ["floor", "", `both spoke for ${ms} ms: `, h("b", {}, words(verdict))],
  silence: ({ seconds }) => ["floor", "", `silence for ${seconds} s`],
  resume: ({ why }) => ["floor", "agent", `goes on where it was: ${words(why)}`],
  prepared: ({ phase, text }) =>
    ["floor", "agent", { begun: "prepares an answer", used: "says the prepared answer", dropped: "throws the prepared answer away" }[phase] ?? words(phase), soft(": ", told(text))],
  backchannel: ({ text }) => ["said", "agent", told(text), soft(" to show that it listens")],
  interruption: ({ why }) => ["floor", "agent", h("b", {}, "interrupts politely"), soft(": ", words(why))],
  response: ({ latency_ms }) => ["said", "agent", soft("answers after "), `${latency_ms} ms`],
  tool: ({ name, ok, took_ms, why }) =>
    ["tools", "", "tool ", h("b", {}, told(name)), ` ${ok ? "answered" : "failed"} after ${took_ms} ms`, why ? soft(": ", told(why)) : ""],
  order: ({ what, by, text, target }) =>
    ["tools", "", "order: ", h("b", {}, words(what)), text || target ? [" “", told(text || target), "”"] : "", by ? soft(" by ", told(by)) : ""],
  transfer: ({ outcome, status }) => ["tools", "", `transfer ${outcome}`, status ? ` (${status})` : ""],
  dtmf_failed: ({ why }) => ["tools", "", "keys were not sent: ", told(why)],
  hangup: ({ why }) => ["tools", "agent", `hangs up${why ? ": " : ""}`, told(words(why))],
  seat: () => ["dialogue", "", "moved to another worker"],
  leg: ({ phase, status, transport }) => ["dialogue", "", words(phase), status ? ` (${status})` : "", transport ? soft(" by ", told(transport)) : ""],
  voice: ({ name, is_fallback }) => ["dialogue", "agent", is_fallback ? "the voice failed; speaks with " : "speaks again with ", told(name)],
  ears: ({ is_fallback, why }) => ["dialogue", "caller", is_fallback ? "the simpler ears listen" : "its own ears listen again", why ? soft(": ", told(why)) : ""],
  note: ({ key, value }) => ["dialogue", "", soft(told(words(key)), ": "), told(typeof value === "string" ? value : JSON.stringify(value))],
};

/** When turns and utterances began: their line stands there, though what became of them is known at their end only. */
function startsOf(entries) {
  const starts = new Map();
  for (const { at_ms, kind, data } of entries) {
    const name = spoken(kind, data);
    if (name && data.phase === "started" && !starts.has(name)) starts.set(name, at_ms);
  }
  return starts;
}

const spoken = (kind, { turn, number }) => ({ turn: `turn ${turn}`, utterance: `utterance ${number}` })[kind];

/** One entry as `{atMs, group, who, parts}`; null for what is not listed. */
function lineOf({ at_ms, kind, data }, starts) {
  const found = LINES[kind]?.(data);
  if (!found) return null;
  const [group, who, ...parts] = found;
  return { atMs: starts.get(spoken(kind, data)) ?? at_ms, group, who, parts };
}

/** The line of a webhook event. */
export const hookLine = (atMs, name, state, text) => ({
  atMs,
  group: "webhooks",
  who: "",
  parts: [h("b", {}, told(name)), " ", h("span", { class: `hook-state ${state}` }, told(text))],
});

const floorName = (state) => h("span", { class: `floor-name ${state}` }, FLOOR[state] ?? state);

// --- the list ------------------------------------------------------------------------------------------------------

const NEAR_END_PX = 60; // a list that is scrolled to its end follows a call that runs

export class Happened {
  #hidden = new Set(["dialogue"]);
  #known = new WeakMap(); // entry → its line
  #lines = [];
  #shown = [];
  #items = new Map(); // name of a line → its element
  #current = null;
  #isLive = false;
  #seek;

  /** `seek(ms)`: somebody wants to be there. */
  constructor(seek) {
    this.#seek = seek;
    this.list = h("ol", { class: "happened", "aria-label": "What happened" });
    const chips = h("div", { class: "chips", role: "group", "aria-label": "Show" }, GROUPS.map((group) => this.#chip(...group)));
    this.card = h("section", { class: "card what" }, h("div", { class: "line" }, h("h2", {}, "What happened"), chips), this.list);
  }

  #chip(group, label) {
    const chip = h("button", { type: "button", class: "chip", "aria-pressed": String(!this.#hidden.has(group)) }, label);
    chip.addEventListener("click", () => {
      if (!this.#hidden.delete(group)) this.#hidden.add(group);
      chip.setAttribute("aria-pressed", String(!this.#hidden.has(group)));
      this.#fill();
    });
    return chip;
  }

  /** Entries of the timeline in any order, and lines of webhooks. */
  show(entries, hookLines, isLive) {
    const starts = startsOf(entries);
    const lines = entries.map((entry) => {
      if (!this.#known.has(entry)) this.#known.set(entry, lineOf(entry, starts));
      return this.#known.get(entry);
    });
    this.#lines = [...lines.filter(Boolean), ...hookLines].sort((a, b) => a.atMs - b.atMs);
    this.#isLive = isLive;
    const isFollowed = isLive && this.list.scrollTop + this.list.clientHeight >= this.list.scrollHeight - NEAR_END_PX;
    this.#fill();
    if (isFollowed) this.list.scrollTop = this.list.scrollHeight;
  }

  /** Lines that stand already stay: whoever is on one with the keyboard keeps it. */
  #fill() {
    const standing = this.#items;
    this.#items = new Map();
    this.#shown = this.#lines.filter(({ group }) => !this.#hidden.has(group));
    for (const line of this.#shown) {
      let name = `${line.atMs} ${line.group} ${line.parts.map((part) => part?.textContent ?? part).join("")}`;
      while (this.#items.has(name)) name += " again";
      line.element = standing.get(name) ?? this.#item(line);
      this.#items.set(name, line.element);
    }
    const nothing = this.#isLive ? "Nothing yet." : "Nothing is shown: switch something on above.";
    fill(this.list, this.#shown.length ? [...this.#items.values()] : h("li", { class: "soft" }, nothing));
  }

  #item({ atMs, who, parts }) {
    const seek = h("button", { type: "button", onclick: () => this.#seek(atMs) }, mediaTime(atMs));
    return h("li", { class: who }, seek, h("span", { class: "who" }, who), h("span", {}, parts));
  }

  /** Mark the line of that time; `reveal`: and bring it into view. Scrolls the list only, never the page. */
  mark(ms, reveal) {
    const now = this.#shown.findLast(({ atMs }) => atMs <= ms + 1)?.element ?? null;
    if (now === this.#current) return;
    this.#current?.removeAttribute("aria-current");
    this.#current = now;
    now?.setAttribute("aria-current", "true");
    if (!now || !reveal) return;
    const top = now.offsetTop - this.list.offsetTop;
    const isSeen = top >= this.list.scrollTop && top + now.offsetHeight <= this.list.scrollTop + this.list.clientHeight;
    if (!isSeen) this.list.scrollTop = top - this.list.clientHeight / 3;
  }
}
