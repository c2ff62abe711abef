// The recording of a call, in media time. A call that moved to another worker has several files, one behind the other.

import { fileUrl } from "/console/api.js";
import { h } from "/console/dom.js";

export class Sound {
  #path;
  #onMove;
  #parts = []; // {part, startsMs}, in order
  #at = -1; // the part that the element has
  #urls = new Map(); // part → URL
  #frame = 0;
  #isClosed = false;

  /** `onMove(ms)`: each frame while it plays, and wherever it was put. */
  constructor(path, onMove) {
    this.#path = path;
    this.#onMove = onMove;
    this.element = h("audio", { controls: true, preload: "metadata", hidden: true, "aria-label": "Recording: left the caller, right the agent" });
    this.element.addEventListener("play", () => this.#follow());
    this.element.addEventListener("seeked", () => onMove(this.ms));
    this.element.addEventListener("timeupdate", () => onMove(this.ms));
    this.element.addEventListener("ended", () => this.#next());
  }

  get isThere() {
    return this.#at >= 0;
  }

  /** Media time of what is heard. */
  get ms() {
    return this.#parts[this.#at].startsMs + this.element.currentTime * 1000;
  }

  /** Throws `ApiError` where there is no file. */
  async open(parts) {
    this.#parts = parts;
    await this.#use(0);
    this.element.hidden = false;
  }

  async seek(ms) {
    const at = Math.max(0, this.#parts.findLastIndex(({ startsMs }) => startsMs <= ms));
    if (at !== this.#at) await this.#use(at, !this.element.paused);
    this.element.currentTime = Math.max(0, (ms - this.#parts[at].startsMs) / 1000);
  }

  toggle() {
    if (!this.isThere) return;
    if (this.element.paused) this.element.play();
    else this.element.pause();
  }

  close() {
    this.#isClosed = true;
    cancelAnimationFrame(this.#frame);
    this.element.pause();
    this.element.removeAttribute("src");
    this.element.load();
    for (const url of this.#urls.values()) if (url.startsWith("blob:")) URL.revokeObjectURL(url);
  }

  async #use(at, isPlaying = false) {
    const { part } = this.#parts[at];
    if (!this.#urls.has(part)) this.#urls.set(part, await fileUrl(`${this.#path}/recording?part=${part}`));
    if (this.#isClosed) return;
    this.#at = at;
    this.element.src = this.#urls.get(part);
    if (isPlaying) await this.element.play();
  }

  async #next() {
    if (this.#at + 1 < this.#parts.length) await this.#use(this.#at + 1, true);
  }

  #follow() {
    cancelAnimationFrame(this.#frame);
    const step = () => {
      if (this.element.paused || this.#isClosed) return;
      this.#onMove(this.ms);
      this.#frame = requestAnimationFrame(step);
    };
    step();
  }
}
