// Who has the floor: the five states, named as on the page to talk to the agent.

import { h } from "/console/dom.js";

export const FLOOR = { open: "open", caller: "caller", overlap: "both", yielding: "yielding", agent: "agent" };

/** The five states in a row; `data-floor` of what stands around says which is on. */
export function floorPills() {
  const items = Object.entries(FLOOR).map(([state, name]) => h("li", { "data-is": state }, name));
  return h("ol", { class: "floor", "aria-hidden": "true" }, items);
}
