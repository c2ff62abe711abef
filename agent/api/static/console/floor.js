// Who has the floor, and what is said just now: the five states are named as on the page to talk to the agent.

import { fill, h, say, told } from "/console/dom.js";

export const FLOOR = { open: "open", caller: "caller", overlap: "both", yielding: "yielding", agent: "agent" };

/** The floor and the last words of a call that runs. `box`: what has the colour of the floor (`data-floor`). */
export class Speaking {
  constructor(box) {
    this.box = box;
    const states = Object.entries(FLOOR).map(([state, name]) => h("li", { "data-is": state }, name));
    this.floor = h("p", { class: "unseen" });
    this.words = h("p", { class: "said" });
    this.elements = [h("ol", { class: "floor", "aria-hidden": "true" }, states), this.floor, this.words];
    this.move("open");
  }

  move(state) {
    this.box.dataset.floor = state || "open";
    say(this.floor, `Floor: ${FLOOR[this.box.dataset.floor] ?? state}`);
  }

  /** Words of nobody, until there are any. */
  begin(...parts) {
    if (!this.words.hasChildNodes()) fill(this.words, parts);
  }

  /** A live event; what does not concern it is ignored. */
  event(kind, data) {
    if (kind === "floor") this.move(data.after);
    if (kind === "words" && data.text) this.#say("caller", told(data.text));
    if (kind !== "utterance") return;
    if (data.phase === "started") this.#say("agent", told(data.text));
    else this.#say("agent", told(data.heard), data.unheard ? [" ", told(data.unheard, { class: "word unheard" })] : null);
  }

  #say(who, ...parts) {
    this.words.className = `said ${who}`;
    fill(this.words, parts);
  }
}
