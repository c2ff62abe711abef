// The drawing of a timeline: voices, words, floor, tools, webhooks over media time. Only what can be seen is drawn, so
// that a call of an hour costs what a call of a minute costs.

import { draw, fill, h } from "/console/dom.js";
import { FLOOR } from "/console/floor.js";
import { mediaTime, words } from "/console/format.js";
import { floorAt } from "/console/timeline.js";

const RULER = 20;
const LABEL = 17; // words above a voice
const VOICE = 62;
const LANES = [
  // name, top, height; voices have a label above the wave
  ["caller", RULER + 4, LABEL + VOICE],
  ["agent", RULER + 12 + LABEL + VOICE, LABEL + VOICE],
  ["floor", RULER + 24 + 2 * (LABEL + VOICE), 14],
  ["answers", RULER + 42 + 2 * (LABEL + VOICE), 20],
  ["tools", RULER + 66 + 2 * (LABEL + VOICE), 18],
  ["webhooks", RULER + 88 + 2 * (LABEL + VOICE), 18],
];
const TOP = Object.fromEntries(LANES.map(([name, top]) => [name, top]));
const HEIGHT = TOP.webhooks + 22;
const MARGIN = 0.6; // of the view, drawn on both sides beyond it
const START_PX_S = 60; // as the page of a simulated call
const MOST_PX_S = 600;
const CHAR_PX = 6.4;
const KEY_PX = 8;
const MOST_POINTS = 4000; // of one request for a waveform
const COARSE = 0.7; // peaks a pixel below which finer ones are asked for
const LEAST_MS = 20;
const REFINE_MS = 150; // of rest before they are
const GRID_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600];
const GRID_PX = 55;

export class Drawing {
  #model = { turns: [], utterances: [], floor: [], overlaps: [], tools: [], marks: [], answers: [], stops: [], lengthMs: 0 };
  #hooks = [];
  #waves = []; // of each file of the recording: {file, fromMs, toMs, caller, agent}
  #fine = null; // the same with its pxMs, of what is in view
  #pxMs = START_PX_S / 1000;
  #fitted = true;
  #drawn = [0, 0];
  #cursorMs = 0;
  #asked = 0;
  #peaks;

  /** `peaks(file, fromMs, toMs, points)`: a waveform of that part (the whole: nulls), or null; `onSeek(ms)`. */
  constructor({ peaks, onSeek }) {
    this.#peaks = peaks;
    this.svg = draw("svg", { height: HEIGHT, "aria-hidden": "true" });
    this.cursor = h("div", { class: "cursor" });
    this.wide = h("div", { class: "wide" }, this.svg, this.cursor);
    this.scroll = h("div", {
      class: "scroll",
      tabindex: 0,
      role: "slider",
      "aria-label": "Position in the call",
      "aria-valuemin": 0,
      "aria-describedby": "timeline-keys",
    }, this.wide);
    const names = h("ul", { class: "lanes", "aria-hidden": "true" }, LANES.map(([name]) => h("li", { class: `lane-${name}` }, name)));
    this.element = h("div", { class: "drawing" }, names, this.scroll);
    this.scroll.addEventListener("scroll", () => this.#paintIfNeeded());
    this.scroll.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.scroll.addEventListener("pointerdown", (event) => (this.#pressedAt = event.clientX));
    this.scroll.addEventListener("click", (event) => {
      if (Math.abs(event.clientX - this.#pressedAt) < 5) onSeek(Math.max(0, this.#msAt(event.clientX)));
    });
    this.#watch = new ResizeObserver(() => (this.#fitted ? this.fit() : this.#paint()));
    this.#watch.observe(this.scroll);
  }

  #pressedAt = 0;
  #watch;

  close() {
    this.#watch.disconnect();
    clearTimeout(this.#asked);
  }

  /** The model of `timeline.build`, and webhook marks `{at, name, state, told}`. */
  show(model, hooks) {
    const followed = this.#isAtEnd();
    this.#model = model;
    this.#hooks = hooks;
    if (this.#fitted) this.fit();
    else this.#paint();
    if (followed && !this.#fitted) this.scroll.scrollLeft = this.scroll.scrollWidth;
    this.#tellPosition();
  }

  /** There is a recording: load its waveforms, file by file. Where it ends, in media time; 0 where there is none. */
  async load(files) {
    for (const file of files) {
      const wave = await this.#peaks(file, null, null, MOST_POINTS);
      if (wave) this.#waves.push({ file, ...wave });
      this.#paint();
    }
    return Math.max(0, ...this.#waves.map(({ toMs }) => toMs));
  }

  zoom(factor, aroundX = null) {
    const box = this.scroll.getBoundingClientRect();
    const x = aroundX ?? (this.#seesCursor() ? box.left + this.#cursorMs * this.#pxMs - this.scroll.scrollLeft : box.left + box.width / 2);
    const ms = this.#msAt(x);
    this.#pxMs = Math.min(MOST_PX_S / 1000, Math.max(this.#fitPxMs(), this.#pxMs * factor));
    this.#fitted = this.#pxMs <= this.#fitPxMs();
    this.#layOut();
    this.scroll.scrollLeft = ms * this.#pxMs - (x - box.left);
    this.#paint();
  }

  /** The whole call in view, unless it is so short that it would be stretched. */
  fit() {
    this.#fitted = true;
    this.#pxMs = this.#fitPxMs();
    this.#layOut();
    this.scroll.scrollLeft = 0;
    this.#paint();
  }

  get pxPerSecond() {
    return this.#pxMs * 1000;
  }

  /** Put the cursor; `follow`: and bring it into view. */
  place(ms, follow) {
    this.#cursorMs = Math.min(Math.max(0, ms), Math.max(this.#model.lengthMs, 0));
    const x = this.#cursorMs * this.#pxMs;
    this.cursor.style.transform = `translateX(${x}px)`;
    const left = this.scroll.scrollLeft;
    if (follow && (x < left || x > left + this.scroll.clientWidth - 40)) this.scroll.scrollLeft = x - 40;
    this.#tellPosition();
  }

  #tellPosition() {
    const floor = FLOOR[floorAt(this.#model, this.#cursorMs)];
    this.scroll.setAttribute("aria-valuemax", Math.round(this.#model.lengthMs / 1000));
    this.scroll.setAttribute("aria-valuenow", Math.round(this.#cursorMs / 1000));
    this.scroll.setAttribute("aria-valuetext", `${mediaTime(this.#cursorMs)}, floor ${floor}`);
  }

  #fitPxMs() {
    const width = Math.max(100, this.scroll.clientWidth - 24);
    return Math.min(width / Math.max(1000, this.#model.lengthMs), START_PX_S / 1000 * 3);
  }

  #isAtEnd() {
    return this.scroll.scrollLeft + this.scroll.clientWidth >= this.scroll.scrollWidth - 30;
  }

  #seesCursor() {
    const x = this.#cursorMs * this.#pxMs - this.scroll.scrollLeft;
    return x >= 0 && x <= this.scroll.clientWidth;
  }

  #msAt(clientX) {
    return (clientX - this.scroll.getBoundingClientRect().left + this.scroll.scrollLeft) / this.#pxMs;
  }

  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / 300), event.clientX);
  }

  #layOut() {
    this.wide.style.width = `${Math.max(this.#model.lengthMs * this.#pxMs + 24, 100)}px`;
    this.place(this.#cursorMs, false);
  }

  // --- what is drawn ---

  #paintIfNeeded() {
    const left = this.scroll.scrollLeft;
    if (left < this.#drawn[0] || left + this.scroll.clientWidth > this.#drawn[1]) this.#paint();
  }

  #paint() {
    this.#layOut();
    const view = this.scroll.clientWidth;
    const from = Math.max(0, Math.floor(this.scroll.scrollLeft - view * MARGIN));
    const to = Math.min(Math.ceil(this.scroll.scrollLeft + view * (1 + MARGIN)), Math.ceil(this.#model.lengthMs * this.#pxMs + 24));
    this.#drawn = [from === 0 ? -1 : from, to];
    this.svg.setAttribute("width", Math.max(1, to - from));
    this.svg.setAttribute("viewBox", `${from} 0 ${Math.max(1, to - from)} ${HEIGHT}`);
    this.svg.style.left = `${from}px`;
    fill(this.svg, PATTERNS(), this.#grid(from, to), this.#voices(from, to), this.#floor(from, to), this.#measures(from, to), this.#events(from, to));
    this.#refine(from, to);
  }

  #seen(spans, from, to) {
    return spans.filter((span) => span.end * this.#pxMs >= from && span.start * this.#pxMs <= to);
  }

  #grid(from, to) {
    const step = GRID_S.find((seconds) => seconds * 1000 * this.#pxMs >= GRID_PX) ?? 1200;
    const marks = [];
    for (let s = Math.ceil(from / this.#pxMs / 1000 / step) * step; s * 1000 * this.#pxMs <= to; s += step) {
      const x = s * 1000 * this.#pxMs;
      marks.push(draw("line", { class: "grid", x1: x, x2: x, y1: 14, y2: HEIGHT }));
      marks.push(draw("text", { class: "ruler", x: x + 3, y: 12 }, step < 1 ? s.toFixed(1) : mediaTime(s * 1000).slice(0, -3)));
    }
    return marks;
  }

  #voices(from, to) {
    const { turns, utterances, overlaps, marks } = this.#model;
    const caller = this.#seen(turns, from, to);
    const agent = this.#seen(utterances, from, to);
    return [
      caller.map((turn) => this.#wash("caller", turn, `caller: ${turn.text || "(nothing understood)"}${turn.why ? ` – ${words(turn.why)}` : ""}`)),
      agent.map((said) => this.#wash("agent", said, `agent, heard: ${said.heard || "nothing"}${said.unheard ? ` – never heard: ${said.unheard}` : ""}`)),
      this.#seen(overlaps, from, to).map((span) => this.#overlap(span)),
      this.#waves.map((wave) => ["caller", "agent"].map((lane) => this.#waveform(wave, lane, from, to))),
      caller.map((turn) => this.#label("caller", turn, turns, [[turn.text, ""]])),
      agent.map((said) => this.#label("agent", said, utterances, [[said.heard, ""], [said.unheard, "unheard"]])),
      this.#together(marks.filter((mark) => mark.lane === "caller" && this.#isSeen(mark.at, from, to))).map((mark) => this.#key(mark)),
    ];
  }

  #isSeen(at, from, to) {
    return at * this.#pxMs >= from - 20 && at * this.#pxMs <= to + 20;
  }

  #wash(lane, { start, end }, title) {
    return draw("rect", {
      class: `wash ${lane}`, rx: 3, x: start * this.#pxMs, y: TOP[lane] + LABEL, width: Math.max(2, (end - start) * this.#pxMs), height: VOICE,
    }, draw("title", {}, title));
  }

  #overlap({ start, end, verdict }) {
    return draw("rect", {
      class: `overlapped ${verdict}`, rx: 2, x: start * this.#pxMs, y: TOP.caller + LABEL + VOICE - 5, width: Math.max(3, (end - start) * this.#pxMs), height: 5,
    }, draw("title", {}, `the caller speaks into the agent's voice for ${Math.round(end - start)} ms: ${words(verdict)}`));
  }

  /** Words above a voice, as many as there is room for before the next ones. */
  #label(lane, span, all, parts) {
    const next = all.find((other) => other.start > span.start)?.start ?? Infinity;
    let room = Math.floor(((next - span.start) * this.#pxMs - 6) / CHAR_PX);
    const spans = [];
    for (const [text, kind] of parts) {
      const whole = String(text ?? "");
      const shown = whole.length > room ? `${whole.slice(0, Math.max(0, room - 1))}…` : whole;
      if (!whole || room < 3) continue;
      spans.push(draw("tspan", { class: kind, dx: spans.length ? 4 : 0 }, shown));
      room -= shown.length + 1;
    }
    return draw("text", { class: `words ${lane}`, x: span.start * this.#pxMs + 2, y: TOP[lane] + 12 }, spans);
  }

  /** Keys that would cover one another, as one mark. */
  #together(keys) {
    const found = [];
    for (const { at, text } of keys) {
      const last = found.at(-1);
      if (last && at * this.#pxMs < last.right + 2) {
        last.text += text;
        last.right += KEY_PX;
      } else {
        found.push({ at, text: String(text), right: at * this.#pxMs + 2 * KEY_PX });
      }
    }
    return found;
  }

  #key({ at, text }) {
    const x = at * this.#pxMs;
    const width = KEY_PX * (text.length + 1);
    return draw("g", { class: "key" },
      draw("rect", { x, y: TOP.caller + LABEL + 4, width, height: 18, rx: 4 }),
      draw("text", { x: x + width / 2, y: TOP.caller + LABEL + 17, "text-anchor": "middle" }, text),
      draw("title", {}, `${text.length > 1 ? "keys" : "key"} ${text}`));
  }

  #waveform(wave, lane, from, to) {
    const source = this.#isFine(wave, from, to) ? this.#fine : wave;
    const { fromMs, toMs } = source;
    const peaks = source[lane];
    const first = Math.max(Math.floor(from), Math.floor(fromMs * this.#pxMs));
    const last = Math.min(Math.ceil(to), Math.ceil(toMs * this.#pxMs));
    const perPx = peaks.length / ((toMs - fromMs) * this.#pxMs);
    const middle = TOP[lane] + LABEL + VOICE / 2;
    const up = [];
    const down = [];
    for (let x = first; x < last; x += 1) {
      const at = Math.floor((x - fromMs * this.#pxMs) * perPx);
      let peak = 0;
      for (let n = Math.max(0, at); n <= Math.min(peaks.length - 1, at + Math.max(0, Math.ceil(perPx) - 1)); n += 1) peak = Math.max(peak, peaks[n]);
      // A square root shows quiet speech; linear peaks of telephone speech are mostly flat.
      const tall = Math.max(0.4, Math.sqrt(peak) * (VOICE / 2 - 2));
      up.push(`${x},${(middle - tall).toFixed(1)}`);
      down.push(`${x},${(middle + tall).toFixed(1)}`);
    }
    return up.length ? draw("path", { class: `wave ${lane}`, d: `M${up.join(" ")} L${down.reverse().join(" ")}Z` }) : null;
  }

  /** Whether there are finer peaks of that file for all that is drawn of it. */
  #isFine({ file, fromMs, toMs }, from, to) {
    const fine = this.#fine;
    if (fine?.file !== file) return false;
    return fine.fromMs <= Math.max(from / this.#pxMs, fromMs) + 1 && fine.toMs >= Math.min(to / this.#pxMs, toMs) - 1;
  }

  /** Ask for finer peaks of what is in view, where those of the whole file are too coarse for it. */
  #refine(from, to) {
    clearTimeout(this.#asked);
    const [firstMs, lastMs] = [from / this.#pxMs, to / this.#pxMs];
    const wave = this.#waves.find(({ fromMs, toMs }) => toMs > (firstMs + lastMs) / 2 && fromMs < lastMs);
    if (!wave || wave.caller.length / ((wave.toMs - wave.fromMs) * this.#pxMs) > COARSE) return;
    const pxMs = this.#pxMs;
    if (this.#isFine(wave, from, to) && this.#fine.pxMs === pxMs) return;
    this.#asked = setTimeout(async () => {
      const [first, last] = [Math.max(wave.fromMs, firstMs), Math.min(wave.toMs, lastMs)];
      if (last - first < LEAST_MS) return;
      const points = Math.min(MOST_POINTS, Math.max(10, Math.ceil((last - first) * pxMs)));
      const fine = await this.#peaks(wave.file, Math.floor(first), Math.ceil(last), points);
      if (!fine || pxMs !== this.#pxMs) return;
      this.#fine = { file: wave.file, ...fine, pxMs };
      this.#paint();
    }, REFINE_MS);
  }

  #floor(from, to) {
    return this.#seen(this.#model.floor, from, to).map(({ start, end, state, cause, why }) =>
      draw("rect", {
        class: `floor-bar ${state}`, "data-state": state, fill: state === "overlap" ? "url(#both)" : null, x: start * this.#pxMs, y: TOP.floor, width: Math.max(1, (end - start) * this.#pxMs), height: 14,
      }, draw("title", {}, `floor ${FLOOR[state] ?? state}${cause ? `: ${words(cause)}` : ""}${why ? ` – ${words(why)}` : ""}`)));
  }

  #measures(from, to) {
    const bar = (kind, title) => ({ start, end }) => {
      const x = start * this.#pxMs;
      return draw("g", { class: `measure ${kind}` },
        draw("line", { x1: x, x2: end * this.#pxMs, y1: TOP.answers + 3, y2: TOP.answers + 3 }),
        draw("text", { x, y: TOP.answers + 17, "text-anchor": kind === "stop" ? "end" : "start" }, `${Math.round(end - start)} ms`),
        draw("title", {}, `${title} ${Math.round(end - start)} ms`));
    };
    return [
      this.#seen(this.#model.answers, from, to).map(bar("answer", "the agent answers after")),
      this.#seen(this.#model.stops, from, to).map(bar("stop", "the agent stops after")),
    ];
  }

  #events(from, to) {
    const tools = this.#seen(this.#model.tools, from, to).map(({ start, end, name, ok, why }) => draw("g", { class: `tool ${ok ? "ok" : "failed"}` },
      draw("rect", { rx: 3, x: start * this.#pxMs, y: TOP.tools, width: Math.max(3, (end - start) * this.#pxMs), height: 16 }),
      draw("text", { x: start * this.#pxMs + 4, y: TOP.tools + 12 }, name),
      draw("title", {}, `tool ${name}: ${ok ? "answered" : `failed${why ? ` (${why})` : ""}`} after ${Math.round(end - start)} ms`)));
    const orders = this.#model.marks.filter((mark) => mark.lane === "orders" && this.#isSeen(mark.at, from, to)).map(({ at, text }) =>
      draw("text", { class: "order", x: at * this.#pxMs, y: TOP.tools + 12 }, `▸ ${text}`));
    const hooks = this.#hooks.filter((hook) => this.#isSeen(hook.at, from, to)).map(({ at, name, state, told }) =>
      draw("circle", { class: `hook ${state}`, cx: at * this.#pxMs, cy: TOP.webhooks + 8, r: 5 }, draw("title", {}, `${name}: ${told}`)));
    return [tools, orders, hooks];
  }
}

/** Both speak: both colours. */
const PATTERNS = () => draw("defs", {},
  draw("pattern", { id: "both", width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    draw("rect", { class: "both-agent", width: 8, height: 8 }), draw("rect", { class: "both-caller", width: 4, height: 8 })));
