// Steering a call that runs: say something in the agent's voice, hand the caller over, end the call.

import { ask } from "/console/api.js";
import { h, say } from "/console/dom.js";
import { endButton } from "/console/calls.js";

/** The forms; `null` where the key may not steer. */
export function steering(call, app) {
  const path = `/v1/calls/${encodeURIComponent(call.call_id)}`;
  if (!app.may("calls:steer")) return h("p", { class: "card soft" }, "This key may look on, not steer (scope calls:steer).");
  const came = h("p", { role: "status", class: "came" });
  const text = h("input", { id: "say", maxlength: 1000, required: true, autocomplete: "off", placeholder: "One moment, please." });
  const firmly = h("input", { type: "checkbox", id: "firmly" });
  const target = h("input", { id: "target", maxlength: 256, required: true, autocomplete: "off", placeholder: "sip:person@example.com", inputmode: "url" });

  const order = (what, body, done) => async (event) => {
    event.preventDefault();
    came.classList.remove("problem");
    try {
      await ask("POST", `${path}/${what}`, body());
      say(came, done);
      if (what === "say") text.value = "";
    } catch (error) {
      came.classList.add("problem");
      say(came, [error.message, ...error.problems.slice(1)].join(" · "));
    }
  };
  return h(
    "section",
    { class: "card steer", "aria-labelledby": "steer-heading" },
    h("h2", { id: "steer-heading" }, "Steer the call"),
    h(
      "form",
      { onsubmit: order("say", () => ({ text: text.value, interruptible: !firmly.checked }), "It comes after what is being said now.") },
      h("label", { for: "say" }, "Say in the agent's voice"),
      h("div", { class: "field" }, text, h("button", { class: "primary" }, "Say")),
      h("label", { class: "check" }, firmly, " the caller cannot interrupt it"),
    ),
    h(
      "form",
      { onsubmit: order("transfer", () => ({ target: target.value.trim() }), "The transfer is asked for; its outcome shows in the timeline.") },
      h("label", { for: "target" }, "Transfer to"),
      h("div", { class: "field" }, target, h("button", {}, "Transfer")),
    ),
    h("div", { class: "field last" }, came, endButton(call.call_id, call.from_uri)),
  );
}
