// What happened in a call, line by line: each entry of the timeline, each event and its deliveries, as text.

import { h, told } from "/console/dom.js";
import { FLOOR } from "/console/floor.js";
import { words } from "/console/format.js";

/** Kinds of lines that can be shown or hidden: name, label. */
export const GROUPS = [
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
  response: ({ latency_ms }) => ["said", "agent", soft("answers after "), `${latency_ms} ms`],
  tool: ({ name, ok, took_ms, why }) =>
    ["tools", "", "tool ", h("b", {}, told(name)), ` ${ok ? "answered" : "failed"} after ${took_ms} ms`, why ? soft(": ", told(why)) : ""],
  order: ({ what, by, text, target }) =>
    ["tools", "", "order: ", h("b", {}, words(what)), text || target ? [" “", told(text || target), "”"] : "", by ? soft(" by ", told(by)) : ""],
  transfer: ({ outcome, status }) => ["tools", "", `transfer ${outcome}`, status ? ` (${status})` : ""],
  dtmf_failed: ({ why }) => ["tools", "", "keys were not sent: ", told(why)],
  hangup: ({ why }) => ["tools", "agent", `hangs up${why ? ": " : ""}`, told(words(why))],
  seat: () => ["dialogue", "", "moved to another worker"],
  leg: ({ phase, status }) => ["dialogue", "", `${phase}${status ? ` (${status})` : ""}`],
  note: ({ key, value }) => ["dialogue", "", soft(told(words(key)), ": "), told(typeof value === "string" ? value : JSON.stringify(value))],
};

/** When turns and utterances began: their line stands there, though what became of them is known at their end only. */
export function startsOf(entries) {
  const starts = new Map();
  for (const { at_ms, kind, data } of entries) {
    const name = spoken(kind, data);
    if (name && data.phase === "started" && !starts.has(name)) starts.set(name, at_ms);
  }
  return starts;
}

const spoken = (kind, { turn, number }) => ({ turn: `turn ${turn}`, utterance: `utterance ${number}` })[kind];

/** One entry as `{atMs, group, who, parts}`; null for what is not listed. */
export function line({ at_ms, kind, data }, starts) {
  const found = LINES[kind]?.(data);
  if (!found) return null;
  const [group, who, ...parts] = found;
  return { atMs: starts.get(spoken(kind, data)) ?? at_ms, group, who, parts };
}

const floorName = (state) => h("span", { class: `floor-name ${state}` }, FLOOR[state] ?? state);
