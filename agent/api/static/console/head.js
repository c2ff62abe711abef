// What a call is, above its timeline: who, when, how long, how it answers, how the line is, how it ended.

import { h, told } from "/console/dom.js";
import { counted, duration, lineQuality, moment, party, words } from "/console/format.js";

/** Whom the call is with: who called us, or whom we called. */
export const partner = (call) => party(call.direction === "outbound" ? call.to_uri : call.from_uri);

/** The children of the head; `nowMs`: how long it has been talked. */
export function headOf(call, nowMs) {
  const isLive = call.state !== "ended";
  const state = isLive ? call.state : words(call.reason);
  return [
    h("div", { class: "line" }, h("h1", {}, told(partner(call))), h("span", { class: `result ${isLive ? "live" : call.result}` }, state)),
    h("dl", {}, facts(call, nowMs).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    h("p", { class: "soft id" }, told(call.call_id)),
  ];
}

function facts(call, nowMs) {
  const { live, data } = call;
  const quality = lineQuality(live?.quality ?? data.media);
  const p50 = data.response_p50_ms ?? null;
  return [
    ["from", told(party(call.from_uri), { title: call.from_uri })],
    ["to", told(party(call.to_uri), { title: call.to_uri })],
    ["agent", told(call.agent)],
    call.tenant !== "default" && ["tenant", told(call.tenant)],
    ["by", `${call.transport}${call.direction === "outbound" ? ", placed by us" : ""}`],
    ["began", moment(call.created_at)],
    ["talked", call.answered_at ? duration(nowMs / 1000) : "never answered"],
    ["turns", `${live?.turns ?? data.turns ?? 0}`],
    p50 !== null && ["answers in", `${p50} ms median, ${data.response_p95_ms} ms p95`],
    live && live.response_ms !== null && ["answered in", `${live.response_ms} ms`],
    quality && ["line", h("span", { class: `quality ${quality.grade}` }, `${quality.grade}: ${quality.text}`)],
    live?.worker && ["seat", `${live.worker}, row ${live.row}`],
    data.dial && ["dialled", `${data.dial.status} ${words(data.dial.reason)}`],
    data.reseated > 0 && ["moved", `${counted(data.reseated, "time")} to another worker`],
    !live && call.state !== "ended" && ["gateway", told(call.owner)],
  ].filter(Boolean);
}
