// One call: what it is, its timeline in step with the recording, how to steer it, its webhooks.

import { ask, fileUrl } from "/console/api.js";
import { fill, h, say, told } from "/console/dom.js";
import { Drawing } from "/console/drawing.js";
import { FLOOR } from "/console/floor.js";
import { counted, duration, lineQuality, mediaTime, moment, party, words } from "/console/format.js";
import { GROUPS, line, startsOf } from "/console/happened.js";
import { delivered, hookList } from "/console/hooks.js";
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
  #endpoints = [];
  #timers = new Set();
  #redraw = 0;
  #frame = 0;
  #isClosed = false;
  #leave = () => {};
  #lines = [];
  #current = null;
  #positionMs = 0;
  #url = "";
  #startsMs = 0; // media time of the recording's first sample
  #soundEndMs = 0;

  constructor(root, path, callId, app) {
    Object.assign(this, { root, path, callId, app });
    this.head = h("section", { class: "card call-head" });
    this.steer = h("div", { class: "steering" });
    this.audio = h("audio", { controls: true, preload: "metadata", hidden: true, "aria-label": "Recording: left the caller, right the agent" });
    this.sound = h("p", { class: "soft sound" });
    this.reading = h("p", { class: "reading" });
    this.drawing = new Drawing({ peaks: (...part) => this.#peaks(...part), onSeek: (ms) => this.#seek(ms) });
    this.list = h("ol", { class: "happened", "aria-label": "What happened" });
    this.hooks = h("div", {});
    this.hidden = new Set(["dialogue"]);
    root.append(h("p", { class: "soft" }, h("a", { href: "#/calls" }, "← Calls")), this.head, this.steer, this.#timelineCard(), this.#listCard(), this.#hooksCard());
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
    this.audio.addEventListener("play", () => this.#follow());
    this.audio.addEventListener("seeked", () => this.#moved(this.#audioMs()));
    this.audio.addEventListener("timeupdate", () => this.#moved(this.#audioMs()));
    return h(
      "section",
      { class: "card timeline", "aria-labelledby": "timeline-heading" },
      h("div", { class: "line" }, h("h2", { id: "timeline-heading" }, "Timeline"), this.reading, zooms),
      this.drawing.element,
      h("p", { id: "timeline-keys", class: "soft keys" }, h("kbd", {}, "←"), " ", h("kbd", {}, "→"), " one second, with ", h("kbd", {}, "Shift"), " five; ", h("kbd", {}, "Space"), " plays; ", h("kbd", {}, "+"), " ", h("kbd", {}, "−"), " ", h("kbd", {}, "0"), " zoom"),
      this.audio,
      this.sound,
    );
  }

  #listCard() {
    const chips = GROUPS.map(([group, label]) => {
      const chip = h("button", { type: "button", class: "chip", "aria-pressed": String(!this.hidden.has(group)) }, label);
      chip.addEventListener("click", () => {
        if (!this.hidden.delete(group)) this.hidden.add(group);
        chip.setAttribute("aria-pressed", String(!this.hidden.has(group)));
        this.#showLines();
      });
      return chip;
    });
    return h(
      "section",
      { class: "card what" },
      h("div", { class: "line" }, h("h2", {}, "What happened"), h("div", { class: "chips", role: "group", "aria-label": "Show" }, chips)),
      this.list,
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
        this.#endpoints = endpoints.map((endpoint) => endpoint.name);
        this.#showHooks();
      }, () => {});
    }
    await this.#load();
    if (!this.#call || this.#isClosed) return;
    if (this.#isLive) {
      this.#later(CATCH_UP_MS, () => this.#load());
      const again = async () => {
        await this.#loadHooks();
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
    cancelAnimationFrame(this.#frame);
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
    if (this.#url.startsWith("blob:")) URL.revokeObjectURL(this.#url);
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
      if (this.#isLive !== wasLive) fill(this.steer, this.#isLive && call.live ? steering(call, this.app) : null);
      this.#rebuild();
      await this.#loadHooks();
      if (!this.#isLive && !this.#url) await this.#loadSound();
    } catch (error) {
      if (this.#isClosed || error.status === 401) return;
      if (this.#call) say(this.sound, error.message);
      else fill(this.root, h("p", { class: "soft" }, h("a", { href: "#/calls" }, "← Calls")), h("section", { class: "card empty" }, h("h1", {}, "This call cannot be shown"), h("p", {}, error.message)));
    }
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
    fill(this.hooks, hookList(this.callId, this.#hooks, this.#endpoints));
  }

  async #loadSound() {
    const isRecorded = this.#hooks.some(({ event }) => event.name === "recording.ready");
    if (!isRecorded || !this.app.may("recordings:read")) {
      say(this.sound, isRecorded ? "The recording needs a key with the scope recordings:read." : "");
      if (!isRecorded) fill(this.sound, this.#call.answered_at ? ["This call was not recorded. To record, set ", h("code", {}, "recording.enabled = true"), ", or let the answer to ", h("code", {}, "call.incoming"), " say ", h("code", {}, '"record": true'), "."] : "This call was never answered.");
      return;
    }
    try {
      const ready = this.#hooks.findLast(({ event }) => event.name === "recording.ready").event.data;
      this.#startsMs = ready.starts_ms ?? 0;
      const url = await fileUrl(`${this.path}/recording`);
      if (this.#isClosed) return;
      this.#url = url;
      this.audio.src = url;
      this.audio.hidden = false;
      this.#soundEndMs = await this.drawing.load();
      this.#rebuild();
      say(this.sound, `Left the caller, right the agent.${ready.truncated ? " Parts are missing: the recorder could not keep up, or the call changed its worker." : ""}`);
      this.#follow();
    } catch (error) {
      say(this.sound, `No sound: ${error.message}`);
    }
  }

  /** Peaks of a part of the recording, in media time; the whole where no part is named. */
  async #peaks(fromMs, toMs, points) {
    const part = fromMs === null ? "" : `&from_ms=${Math.max(0, Math.floor(fromMs - this.#startsMs))}&to_ms=${Math.ceil(toMs - this.#startsMs)}`;
    const found = await ask("GET", `${this.path}/waveform?points=${points}${part}`).catch(() => null);
    if (!found) return null;
    const first = this.#startsMs + found.from_ms;
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
    this.#lines = this.#linesOf(entries);
    const isFollowed = this.#isLive && this.list.scrollTop + this.list.clientHeight >= this.list.scrollHeight - 60;
    this.#showLines();
    this.#moved(this.#isLive ? this.#nowMs : this.#positionMs, false);
    if (isFollowed) this.list.scrollTop = this.list.scrollHeight;
  }

  #atOf({ at }) {
    const base = this.#call.answered_at ?? at;
    return Math.min(Math.max(0, (at - base) * 1000), this.#model.lengthMs);
  }

  #linesOf(entries) {
    const starts = startsOf(entries);
    const found = entries.map((entry) => this.#lineOf(entry, starts)).filter(Boolean);
    for (const { event, state, told: text } of this.#hooks) {
      const parts = [h("b", {}, told(event.name)), " ", h("span", { class: `hook-state ${state}` }, told(text))];
      found.push({ atMs: this.#atOf(event), group: "webhooks", who: "", parts });
    }
    return found.sort((a, b) => a.atMs - b.atMs);
  }

  #lineOf(entry, starts) {
    if (!this.#lineOfEntry.has(entry)) this.#lineOfEntry.set(entry, line(entry, starts));
    return this.#lineOfEntry.get(entry);
  }

  #lineOfEntry = new WeakMap();

  /** Lines that stand already stay: whoever is on one with the keyboard keeps it. */
  #showLines() {
    const standing = this.#items;
    this.#items = new Map();
    this.#shown = this.#lines.filter(({ group }) => !this.hidden.has(group));
    for (const one of this.#shown) {
      let name = `${one.atMs} ${one.group} ${one.parts.map((part) => part?.textContent ?? part).join("")}`;
      while (this.#items.has(name)) name += " again";
      one.element = standing.get(name) ?? this.#item(one);
      this.#items.set(name, one.element);
    }
    const nothing = this.#isLive ? "Nothing yet." : "Nothing is shown: switch something on above.";
    fill(this.list, this.#shown.length ? [...this.#items.values()] : h("li", { class: "soft" }, nothing));
  }

  #item({ atMs, who, parts }) {
    const seek = h("button", { type: "button", onclick: () => this.#seek(atMs) }, mediaTime(atMs));
    return h("li", { class: who }, seek, h("span", { class: "who" }, who), h("span", {}, parts));
  }

  #items = new Map(); // name of a line → its element
  #shown = [];

  #showHead() {
    const call = this.#call;
    const outbound = call.direction === "outbound";
    const live = call.live;
    const { data } = call;
    const quality = lineQuality(live?.quality ?? data.media);
    const p50 = data.response_p50_ms ?? null;
    const facts = [
      ["from", told(party(call.from_uri), { title: call.from_uri })],
      ["to", told(party(call.to_uri), { title: call.to_uri })],
      ["agent", told(call.agent)],
      call.tenant !== "default" && ["tenant", told(call.tenant)],
      ["by", `${call.transport}${outbound ? ", placed by us" : ""}`],
      ["began", moment(call.created_at)],
      ["talked", call.answered_at ? duration(this.#nowMs / 1000) : "never answered"],
      ["turns", `${live?.turns ?? data.turns ?? 0}`],
      p50 !== null && ["answers in", `${p50} ms median, ${data.response_p95_ms} ms p95`],
      live && live.response_ms !== null && ["answered in", `${live.response_ms} ms`],
      quality && ["line", h("span", { class: `quality ${quality.grade}` }, `${quality.grade}: ${quality.text}`)],
      live?.worker && ["seat", `${live.worker}, row ${live.row}`],
      data.dial && ["dialled", `${data.dial.status} ${words(data.dial.reason)}`],
      data.reseated > 0 && ["moved", `${counted(data.reseated, "time")} to another worker`],
      !live && this.#isLive && ["gateway", told(call.owner)],
    ].filter(Boolean);
    document.title = `${party(outbound ? call.to_uri : call.from_uri)} – Crosstalk console`;
    const state = this.#isLive ? call.state : `${words(call.reason)}`;
    fill(
      this.head,
      h("div", { class: "line" }, h("h1", {}, told(party(outbound ? call.to_uri : call.from_uri))), h("span", { class: `result ${this.#isLive ? "live" : call.result}` }, state)),
      h("dl", {}, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
      h("p", { class: "soft id" }, told(call.call_id)),
    );
  }

  // --- position ---

  #audioMs() {
    return this.#startsMs + this.audio.currentTime * 1000;
  }

  #seek(ms) {
    if (!this.audio.hidden) this.audio.currentTime = Math.max(0, (ms - this.#startsMs) / 1000);
    this.#moved(ms);
  }

  #moved(ms, follow = true) {
    this.#positionMs = Math.min(Math.max(0, ms), this.#model.lengthMs);
    this.drawing.place(this.#positionMs, follow);
    say(this.reading, `${mediaTime(this.#positionMs)} · floor ${FLOOR[floorAt(this.#model, this.#positionMs)] ?? ""}`);
    const now = this.#shown.findLast((one) => one.atMs <= this.#positionMs + 1)?.element ?? null;
    if (now === this.#current) return;
    this.#current?.removeAttribute("aria-current");
    this.#current = now;
    now?.setAttribute("aria-current", "true");
    if (now && follow) this.#reveal(now);
  }

  /** Scrolls the list only, never the page. */
  #reveal(item) {
    const { list } = this;
    const top = item.offsetTop - list.offsetTop;
    if (top < list.scrollTop || top + item.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3;
  }

  /** The cursor in step with the sound: each frame while it plays. */
  #follow() {
    cancelAnimationFrame(this.#frame);
    const step = () => {
      this.#moved(this.#audioMs());
      if (!this.audio.paused && !this.#isClosed) this.#frame = requestAnimationFrame(step);
    };
    if (!this.audio.paused) step();
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
      " ": () => this.#play(),
      "+": () => this.drawing.zoom(1.6),
      "=": () => this.drawing.zoom(1.6),
      "-": () => this.drawing.zoom(1 / 1.6),
      0: () => this.drawing.fit(),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  #play() {
    if (this.audio.hidden) return;
    if (this.audio.paused) this.audio.play();
    else this.audio.pause();
  }
}
