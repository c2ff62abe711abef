// Agents: which versions there are, which one answers, and a place to write the next one.

import { ask } from "/console/api.js";
import { fill, h, say, told } from "/console/dom.js";
import { clock, counted } from "/console/format.js";

export function openAgents(root, name, app) {
  const page = h("div", { class: "agents" });
  root.append(page);
  let isClosed = false;
  const shown = name ? oneAgent(page, name, app) : allAgents(page);
  shown.catch((error) => !isClosed && fill(page, h("section", { class: "card empty" }, h("h1", {}, "No agents to show"), h("p", {}, error.message))));
  return () => {
    isClosed = true;
  };
}

async function allAgents(page) {
  const { agents } = await ask("GET", "/v1/agents");
  fill(page, h("h1", {}, "Agents"), h("ul", { class: "cards" }, agents.map(agentCard)));
}

function agentCard(agent) {
  return h(
    "li",
    { class: "card" },
    h("div", { class: "line" }, h("h2", {}, h("a", { href: `#/agents/${encodeURIComponent(agent.name)}` }, agent.name)), agent.is_default ? h("span", { class: "state" }, "default") : null),
    h("p", { class: "soft" }, `${agent.brain}, ${agent.active ? `version ${agent.active} answers` : "as configured"}, ${counted(agent.versions, "version")}`),
    agent.is_default ? h("p", { class: "soft" }, "Answers every call that names no other agent.") : null,
  );
}

async function oneAgent(page, name, app) {
  const path = `/v1/agents/${encodeURIComponent(name)}`;
  const agent = await ask("GET", path);
  const mayWrite = app.may("agents:write") && app.isOperator;
  const came = h("p", { class: "came", role: "status" });
  const again = () => oneAgent(page, name, app);

  const change = (what, body, done) => async () => {
    try {
      const version = await ask("POST", `${path}/${what}`, body);
      await again();
      say(page.querySelector(".came"), done(version));
    } catch (error) {
      say(came, error.message);
    }
  };
  const answers = ({ version }) => `Version ${version} answers new calls. Running calls keep theirs.`;
  const versions = agent.versions.map((version) =>
    h(
      "li",
      {},
      h("b", {}, version.version ? `version ${version.version}` : "as configured"),
      h("span", { class: "soft" }, version.created_at ? clock(version.created_at) : ""),
      h("span", { class: "note" }, told(version.note)),
      version.is_active ? h("span", { class: "result success" }, "answers") : h("span", {}),
      h(
        "span",
        { class: "buttons" },
        h("button", { type: "button", class: "small", onclick: () => load(version.version), "aria-label": `Show version ${version.version}` }, "Show"),
        mayWrite && !version.is_active ? h("button", { type: "button", class: "small", onclick: change("publish", { version: version.version }, answers), "aria-label": `Publish version ${version.version}` }, "Publish") : null,
      ),
    ),
  );
  const { section, load } = editor(path, mayWrite, again);
  fill(
    page,
    h("p", { class: "soft" }, h("a", { href: "#/agents" }, "← Agents")),
    h(
      "section",
      { class: "card" },
      h("div", { class: "line" }, h("h1", {}, agent.name), mayWrite ? h("button", { type: "button", onclick: change("rollback", undefined, answers) }, "Roll back") : null),
      came,
      h("ol", { class: "rows versions" }, versions),
    ),
    section,
  );
  await load(agent.active);
}

function editor(path, mayWrite, again) {
  const text = h("textarea", { id: "yaml", rows: 24, spellcheck: "false", autocapitalize: "off", readonly: !mayWrite });
  const heading = h("h2", {}, "Dialogue");
  const problems = h("ol", { class: "problems", role: "status" });
  const note = h("input", { id: "note", maxlength: 200, autocomplete: "off", placeholder: "why it changes" });
  const publish = h("input", { type: "checkbox", id: "publish" });

  async function load(version) {
    fill(problems);
    try {
      const found = await ask("GET", `${path}/versions/${version}`);
      text.value = found.yaml;
      say(heading, version ? `Dialogue, version ${version}` : "Dialogue, as configured");
      section.hidden = false;
      if (!found.yaml) fill(problems, h("li", {}, "This agent is not written in YAML: its words come from a server or a program. A version stored here would answer in its place."));
    } catch (error) {
      section.hidden = error.status === 404 && !mayWrite;
      fill(problems, h("li", {}, error.message));
    }
  }

  function showProblems(found) {
    const rows = found.map(({ line, reason }) => h("li", {}, line ? h("button", { type: "button", class: "small", onclick: () => goTo(line) }, `line ${line}`) : null, " ", reason));
    fill(problems, rows.length ? rows : h("li", { class: "good" }, "Nothing is wrong with it."));
  }

  function goTo(line) {
    const from = text.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    text.focus();
    text.setSelectionRange(from, text.value.indexOf("\n", from) < 0 ? text.value.length : text.value.indexOf("\n", from));
    text.scrollTop = Math.max(0, (line - 5) * (text.scrollHeight / Math.max(1, text.value.split("\n").length)));
  }

  async function check() {
    try {
      showProblems((await ask("POST", `${path}/validate`, { yaml: text.value })).problems);
    } catch (error) {
      fill(problems, h("li", {}, error.message));
    }
  }

  async function save(event) {
    event.preventDefault();
    try {
      const stored = await ask("PUT", path, { yaml: text.value, note: note.value, publish: publish.checked });
      await again();
      say(document.querySelector(".agents .came"), `Stored as version ${stored.version}${publish.checked ? "; it answers new calls" : ""}.`);
    } catch (error) {
      fill(problems, (error.problems.length ? error.problems : [error.message]).map((reason) => h("li", {}, reason)));
    }
  }

  const section = h(
    "section",
    { class: "card" },
    heading,
    h(
      "form",
      { onsubmit: save },
      h("label", { class: "unseen", for: "yaml" }, "YAML"),
      text,
      problems,
      mayWrite && [
        h("label", { for: "note" }, "Note"),
        h("div", { class: "field" }, note, h("button", { type: "button", onclick: check }, "Check"), h("button", { class: "primary" }, "Store as a new version")),
        h("label", { class: "check" }, publish, " and let it answer new calls"),
      ],
    ),
  );
  return { section, load };
}
