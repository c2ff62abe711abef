// A call's timeline as spans and marks. Pure: entries of the REST API in, what can be drawn and listed out.

/** `entries`: `{at_ms, kind, data}` in any order. `endMs`: how far the call got. All times in ms of media time. */
export function build(entries, endMs) {
  const found = { turns: [], utterances: [], floor: [], overlaps: [], tools: [], marks: [], answers: [], stops: [], lengthMs: endMs };
  const open = { turns: new Map(), utterances: new Map() };
  for (const entry of [...entries].sort((a, b) => a.at_ms - b.at_ms)) {
    BUILD[entry.kind]?.(found, entry.at_ms, entry.data, open);
    found.lengthMs = Math.max(found.lengthMs, entry.at_ms);
  }
  found.floor = floorSpans(found.floor, found.lengthMs);
  for (const span of [...found.turns, ...found.utterances]) span.end ??= found.lengthMs;
  return found;
}

const BUILD = {
  turn({ turns }, at, { phase, turn, text, why, early }, open) {
    let span = open.turns.get(turn);
    if (!span) {
      span = { start: at, end: null, text: "", turn };
      open.turns.set(turn, span);
      turns.push(span);
    }
    if (phase === "reopened") span.end = null;
    if (phase === "ended") Object.assign(span, { end: at, text, why, early });
  },
  utterance({ utterances }, at, data, open) {
    if (data.phase === "started") {
      const span = { start: at, end: null, text: data.text, heard: data.text, unheard: "", number: data.number };
      open.utterances.set(data.number, span);
      utterances.push(span);
      return;
    }
    const span = open.utterances.get(data.number);
    if (span) Object.assign(span, { end: at, heard: data.heard, unheard: data.unheard, why: data.why });
  },
  floor: ({ floor }, at, { before, after, cause, why }) => floor.push({ start: at, before, state: after, cause, why }),
  overlap({ overlaps, stops }, at, { verdict, ms }) {
    overlaps.push({ start: at - ms, end: at, verdict });
    if (verdict === "barge_in") stops.push({ start: at - ms, end: at });
  },
  response: ({ answers }, at, { latency_ms }) => answers.push({ start: at - latency_ms, end: at }),
  tool: ({ tools }, at, { name, ok, took_ms, why }) => tools.push({ start: at - took_ms, end: at, name, ok, why }),
  dtmf: ({ marks }, at, { digit }) => marks.push({ at, lane: "caller", text: digit }),
  order: ({ marks }, at, { what }) => marks.push({ at, lane: "orders", text: what }),
  transfer: ({ marks }, at, { outcome }) => marks.push({ at, lane: "orders", text: `transfer ${outcome}` }),
};

/** From moves to spans without gaps. What leads back to the same state is no new span. */
function floorSpans(moves, lengthMs) {
  const spans = [{ start: 0, end: lengthMs, state: "open", cause: "", why: "" }];
  for (const move of moves) {
    const last = spans.at(-1);
    if (move.state === last.state) continue;
    last.end = move.start;
    spans.push({ ...move, end: lengthMs });
  }
  return spans.filter((span) => span.end > span.start);
}

/** The state of the floor at a time. */
export function floorAt(model, ms) {
  return model.floor.findLast((span) => span.start <= ms)?.state ?? "open";
}

/** Entries of two sources, each once: what was stored, and what has been told since. */
export function merged(stored, told) {
  const seen = new Set(stored.map(same));
  return [...stored, ...told.filter((entry) => !seen.has(same(entry)))];
}

const same = ({ at_ms, kind, data }) => `${at_ms} ${kind} ${JSON.stringify(data, Object.keys(data).sort())}`;
