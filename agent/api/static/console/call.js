// One call: what it is, its timeline in step with the recording, how to steer it, its webhooks.

import { ask } from "/console/api.js";
import { fill, h, say } from "/console/dom.js";
import { Drawing } from "/console/drawing.js";
import { FLOOR, Speaking } from "/console/floor.js";
import { mediaTime } from "/console/format.js";
import { Happened, hookLine } from "/console/happened.js";
import { headOf, partner } from "/console/head.js";
import { Again, delivered, hookList } from "/console/hooks.js";
import { Sound } from "/console/sound.js";
import { steering } from "/console/steer.js";
import { build, floorAt, merged } from "/console/timeline.js";

const REDRAW_MS = 200; // of a live call, at most that often
const CATCH_UP_MS = 1500; // entries are stored about once a second: ask once more after that
const HOOKS_MS = 3000; // attempts are told by no event: ask while the call runs
const AFTER_END_MS = [700, 3000]; // the last entries, the recording; later attempts

export function openCall(root, callId, app) {
  const path = `/v1/calls/${encodeURIComponent(callId)}`;
  const page = new CallPage(root, path, callId, app);
  page.open();
  return () => page.close();
}

class CallPage {
  #call = null;
  #stored = [];
  #told = [];
  #hooks = [];
  #model = build([], 0);
  #again = null;
  #timers = new Set();
  #redraw = 0;
  #isClosed = false;
  #leave = () => {};
  #positionMs = 0;
  #isHeld = false; // somebody looks at an earlier part of a call that runs
  #soundEndMs = 0;

  constructor(root, path, callId, app) {
    Object.assign(this, { root, path, callId, app });
    this.head = h("section", { class: "card call-head" });
    this.now = h("section", { class: "card live now", hidden: true, "aria-label": "Now" });
    this.speaking = new Speaking(this.now);
    this.now.append(...this.speaking.elements);
    this.steer = h("div", { class: "steering" });
    this.sound = new Sound(path, (ms) => this.#moved(ms));
    this.about = h("p", { class: "soft sound" });
    this.reading = h("p", { class: "reading" });
    this.drawing = new Drawing({ peaks: (...part) => this.#peaks(...part), onSeek: (ms) => this.#seek(ms) });
    this.happened = new Happened((ms) => this.#seek(ms));
    this.hooks = h("div", {});
    root.append(h("p", { class: "soft" }, h("a", { href: "#/calls" }, "← Calls")), this.head, this.now, this.steer, this.#timelineCard(), this.happened.card, this.#hooksCard());
  }

  #timelineCard() {
    const button = (label, name, action) => h("button", { type: "button", class: "small", "aria-label": name, onclick: action }, label);
    const zooms = h(
      "div",
      { class: "zooms", role: "group", "aria-label": "Zoom" },
      button("−", "Zoom out", () => this.drawing.zoom(1 / 1.6)),
      button("Fit", "Whole call", () => this.drawing.fit()),
      button("+", "Zoom in", () => this.drawing.zoom(1.6)),
    );
    this.drawing.scroll.addEventListener("keydown", (event) => this.#key(event));
    return h(
      "section",
      { class: "card timeline", "aria-labelledby": "timeline-heading" },
      h("div", { class: "line" }, h("h2", { id: "timeline-heading" }, "Timeline"), this.reading, zooms),
      this.drawing.element,
      h("p", { id: "timeline-keys", class: "soft keys" }, h("kbd", {}, "←"), " ", h("kbd", {}, "→"), " one second, with ", h("kbd", {}, "Shift"), " five; ", h("kbd", {}, "Space"), " plays; ", h("kbd", {}, "+"), " ", h("kbd", {}, "−"), " ", h("kbd", {}, "0"), " zoom"),
      this.sound.element,
      this.about,
    );
  }

  #hooksCard() {
    return h("section", { class: "card" }, h("h2", {}, "Webhooks"), this.hooks);
  }

  // --- data ---

  async open() {
    this.#leave = this.app.live.listen((event) => this.#event(event), () => this.#load());
    if (this.app.isOperator && this.app.may("webhooks:write")) {
      ask("GET", "/v1/webhooks").then(({ endpoints }) => {
        const names = endpoints.map((endpoint) => endpoint.name);
        this.#again = names.length ? new Again(this.callId, names) : null;
        this.#showHooks();
      }, () => {});
    }
    await this.#load();
    if (!this.#call || this.#isClosed) return;
    if (this.#isLive) {
      this.#later(CATCH_UP_MS, () => this.#load());
      const again = async () => {
        await (this.#call.live ? this.#loadHooks() : this.#load()); // a call of another gateway tells nothing here
        if (this.#isLive) this.#later(HOOKS_MS, again);
      };
      this.#later(HOOKS_MS, again);
      this.#tick();
    }
  }

  close() {
    this.#isClosed = true;
    this.#leave();
    this.drawing.close();
    this.#timers.forEach(clearTimeout);
    this.sound.close();
  }

  get #isLive() {
    return this.#call !== null && this.#call.state !== "ended";
  }

  #later(ms, work) {
    if (this.#isClosed) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, ms);
    this.#timers.add(timer);
  }

  async #load() {
    try {
      const [call, { entries }] = await Promise.all([ask("GET", this.path), ask("GET", `${this.path}/timeline`)]);
      if (this.#isClosed) return;
      const wasLive = this.#isLive;
      this.#call = call;
      this.#stored = entries;
      this.#showHead();
      this.now.hidden = !call.live;
      if (call.live) this.#showNow(call.live, entries);
      if (this.#isLive !== wasLive) fill(this.steer, this.#isLive && call.live ? steering(call, this.app) : null);
      this.#rebuild();
      await this.#loadHooks();
      if (!this.#isLive && !this.sound.isThere) await this.#loadSound();
    } catch (error) {
      if (this.#isClosed || error.status === 401) return;
      if (this.#call) say(this.about, error.message);
      else fill(this.root, h("p", { class: "soft" }, h("a", { href: "#/calls" }, "← Calls")), h("section", { class: "card empty" }, h("h1", {}, "This call cannot be shown"), h("p", {}, error.message)));
    }
  }

  /** What was said last, until there are live events. */
  #showNow(live, entries) {
    this.speaking.move(live.floor);
    if (this.speaking.words.hasChildNodes()) return;
    const last = entries.findLast(({ kind }) => kind === "utterance" || kind === "words");
    if (last) this.speaking.event(last.kind, last.data);
  }

  async #loadHooks() {
    const found = await ask("GET", `${this.path}/events`).catch(() => null);
    if (!found || this.#isClosed) return;
    const fresh = JSON.stringify(found);
    if (fresh === this.#hooksText) return;
    this.#hooksText = fresh;
    this.#hooks = delivered(found);
    this.#showHooks();
    this.#rebuild();
  }

  #hooksText = "";

  #showHooks() {
    const focused = document.activeElement;
    fill(this.hooks, hookList(this.#hooks, this.#again));
    if (this.hooks.contains(focused)) focused.focus({ preventScroll: true });
  }

  async #loadSound() {
    const ready = this.#hooks.map(({ event }) => event).filter(({ name }) => name === "recording.ready");
    if (!ready.length) return fill(this.about, this.#call.answered_at ? NOT_RECORDED() : "This call was never answered.");
    if (!this.app.may("recordings:read")) return say(this.about, "The recording needs a key with the scope recordings:read.");
    this.#parts = ready.map(({ data }, at) => ({ part: at + 1, startsMs: data.starts_ms ?? 0 }));
    try {
      await this.sound.open(this.#parts);
      if (this.#isClosed) return;
      this.#soundEndMs = await this.drawing.load(this.#parts);
      this.#positionMs = this.sound.ms;
      this.#rebuild();
      const missing = ready.some(({ data }) => data.truncated) ? " Parts are missing: the recorder could not keep up, or a worker died." : "";
      say(this.about, `Left the caller, right the agent.${missing}`);
    } catch (error) {
      say(this.about, `No sound: ${error.message}`);
    }
  }

  #parts = []; // files of the recording

  /** Peaks of a part of one file of the recording, in media time; of the whole file where no part is named. */
  async #peaks({ part, startsMs }, fromMs, toMs, points) {
    const range = fromMs === null ? "" : `&from_ms=${Math.max(0, Math.floor(fromMs - startsMs))}&to_ms=${Math.ceil(toMs - startsMs)}`;
    const found = await ask("GET", `${this.path}/waveform?part=${part}&points=${points}${range}`).catch(() => null);
    if (!found) return null;
    const first = startsMs + found.from_ms;
    return { fromMs: first, toMs: first + found.length_ms, caller: found.caller, agent: found.agent };
  }

  #event(event) {
    if (event.call_id !== this.callId) return;
    const { kind, at_ms, data } = event;
    if (kind === "call.ended") AFTER_END_MS.forEach((ms) => this.#later(ms, () => this.#load()));
    else if (kind === "state") this.#load();
    else if (kind === "quality") {
      if (this.#call?.live) this.#call.live.quality = data;
      this.#showHead();
    } else if (!kind.includes(".")) {
      this.speaking.event(kind, data);
      this.#told.push({ at_ms, kind, data });
      this.#redraw ||= setTimeout(() => {
        this.#redraw = 0;
        if (!this.#isClosed) this.#rebuild();
      }, REDRAW_MS);
    }
  }

  // --- what is shown ---

  /** Media time now, of a live call; where a call that is over ended. */
  get #nowMs() {
    const call = this.#call;
    if (!call?.answered_at) return 0;
    if (!this.#isLive) return Math.max(0, (call.data.duration_s ?? 0) * 1000);
    return Math.max(0, Date.now() - (this.#answeredLocally ??= Date.now() - (call.live?.media_ms ?? Date.now() - call.answered_at * 1000)));
  }

  #answeredLocally;

  #tick() {
    this.#later(1000, () => {
      if (!this.#isLive) return;
      this.#showHead();
      this.#rebuild();
      this.#tick();
    });
  }

  #rebuild() {
    const entries = merged(this.#stored, this.#told);
    this.#model = build(entries, Math.max(this.#nowMs, this.#soundEndMs));
    const hooks = this.#hooks.map(({ event, state, told: text }) => ({ at: this.#atOf(event), name: event.name, state, told: text }));
    this.drawing.show(this.#model, hooks);
    this.happened.show(entries, this.#hookLines(), this.#isLive);
    this.#moved(this.#isLive && !this.#isHeld ? this.#nowMs : this.#positionMs, false);
  }

  #atOf({ at }) {
    const base = this.#call.answered_at ?? at;
    return Math.min(Math.max(0, (at - base) * 1000), this.#model.lengthMs);
  }

  #hookLines() {
    return this.#hooks.map(({ event, state, told: text }) => hookLine(this.#atOf(event), event.name, state, text));
  }

  #showHead() {
    document.title = `${partner(this.#call)} – Crosstalk console`;
    fill(this.head, headOf(this.#call, this.#nowMs));
  }

  // --- position ---

  #seek(ms) {
    this.#isHeld = this.#isLive && ms < this.#nowMs - 1000;
    if (this.sound.isThere) this.sound.seek(ms);
    this.#moved(ms);
  }

  #moved(ms, follow = true) {
    this.#positionMs = Math.min(Math.max(0, ms), this.#model.lengthMs);
    this.drawing.place(this.#positionMs, follow);
    say(this.reading, `${mediaTime(this.#positionMs)} · floor ${FLOOR[floorAt(this.#model, this.#positionMs)] ?? ""}`);
    this.happened.mark(this.#positionMs, follow);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 5000 : 1000;
    const at = this.#positionMs;
    const keys = {
      ArrowLeft: () => this.#seek(at - step),
      ArrowRight: () => this.#seek(at + step),
      ArrowDown: () => this.#seek(at - step),
      ArrowUp: () => this.#seek(at + step),
      PageDown: () => this.#seek(at - 10_000),
      PageUp: () => this.#seek(at + 10_000),
      Home: () => this.#seek(0),
      End: () => this.#seek(this.#model.lengthMs),
      " ": () => this.sound.toggle(),
      "+": () => this.drawing.zoom(1.6),
      "=": () => this.drawing.zoom(1.6),
      "-": () => this.drawing.zoom(1 / 1.6),
      0: () => this.drawing.fit(),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }
}

const NOT_RECORDED = () => [
  "This call was not recorded. To record, set ",
  h("code", {}, "recording.enabled = true"),
  ", or let the answer to ",
  h("code", {}, "call.incoming"),
  " say ",
  h("code", {}, '"record": true'),
  ".",
];
