// The console: which view is shown, who looks, and the one stream of live events that all views share.

import { ask, keep, key, Live, whenLocked } from "/console/api.js";
import { fill, h, say, told } from "/console/dom.js";
import { openAgents } from "/console/agents.js";
import { openCall } from "/console/call.js";
import { openCalls } from "/console/calls.js";
import { openService } from "/console/service.js";

const byId = (id) => document.getElementById(id);
const view = byId("view");

let who = null; // {name, tenant, scopes}
let live = null;
let close = () => {}; // of the view that is shown

const VIEWS = { calls: openCalls, agents: openAgents, service: openService };

async function start() {
  const mine = key();
  try {
    who = await ask("GET", "/v1/whoami");
    if (key() !== mine) return; // forgotten, or another one, while we asked
  } catch (error) {
    if (error.status === 401) return;
    return fill(view, problemCard(error));
  }
  byId("gate").hidden = true;
  view.hidden = byId("nav").hidden = false;
  byId("forget").hidden = !key();
  fill(byId("who"), key() ? [" · ", told(who.name), who.tenant === "*" ? "" : [" of ", told(who.tenant)], " "] : "");
  live = new Live(showLink);
  live.run();
  route();
}

function problemCard(error) {
  return h(
    "section",
    { class: "card empty" },
    h("h1", {}, error.status ? "The console is not open here" : "The service does not answer"),
    h("p", {}, error.message),
    h("p", {}, h("button", { type: "button", class: "primary", onclick: () => location.reload() }, "Try again")),
  );
}

function lock(why) {
  live?.close();
  live = null;
  close();
  close = () => {};
  keep("");
  byId("gate").hidden = false;
  view.hidden = byId("nav").hidden = byId("forget").hidden = true;
  fill(view);
  fill(byId("who"));
  showLink("");
  say(byId("gate-problem"), why);
  byId("key").value = "";
  byId("key").focus();
}

function unlock(event) {
  event.preventDefault();
  keep(byId("key").value.trim());
  say(byId("gate-problem"), "");
  start();
}

const LINK = { live: "Live", away: "Reconnecting …", "": "" };

function showLink(state) {
  const link = byId("link");
  link.dataset.link = state in LINK ? state : "refused";
  say(link, LINK[state] ?? state);
}

function route() {
  if (!live) return;
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  const shown = Object.hasOwn(VIEWS, name) ? name : "calls";
  for (const link of byId("nav").children) {
    if (link.dataset.view === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  close();
  fill(view);
  document.title = `${shown[0].toUpperCase()}${shown.slice(1)} – Crosstalk console`;
  const open = shown === "calls" && rest[0] ? openCall : VIEWS[shown];
  close = open(view, rest[0] ?? "", { live, may: (scope) => who.scopes.includes(scope), isOperator: who.tenant === "*" });
  scrollTo(0, 0);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

const UNSEEN_MS = 20_000;
let unseen = 0;

function looked() {
  clearTimeout(unseen);
  if (document.hidden) unseen = setTimeout(() => live?.pause(), UNSEEN_MS);
  else live?.resume();
}

whenLocked(lock);
document.addEventListener("visibilitychange", looked);
byId("gate").addEventListener("submit", unlock);
byId("forget").addEventListener("click", () => lock("The key is forgotten."));
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  view.focus();
});
addEventListener("hashchange", () => {
  route();
  view.focus({ preventScroll: true });
});
start();
