// Numbers and names as people read them.

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** Seconds since 1970 as a time of day, with its day where that is not today. */
export function clock(seconds) {
  const at = new Date(seconds * 1000);
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? TIME.format(at) : `${DAY.format(at)}, ${TIME.format(at)}`;
}

export const moment = (seconds) => WHOLE.format(new Date(seconds * 1000));

/** 65 → 1:05. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value) => String(value).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Media time: 83210 → 1:23.21. */
export const mediaTime = (ms) => `${duration(ms / 1000)}.${String(Math.floor((Math.max(0, ms) % 1000) / 10)).padStart(2, "0")}`;

/** The part of an address that people know: sip:alice@host:5060;x=y → alice@host. */
export const party = (uri) => String(uri ?? "").replace(/^sips?:/i, "").replace(/[;?].*$/s, "").replace(/:\d+$/, "") || "unknown";

export const counted = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

export const words = (slug) => String(slug ?? "").replaceAll("_", " ");

/** How a line is, from its counters: grade, and the figures behind it. */
export function lineQuality(quality) {
  if (!quality || quality.received === undefined) return null;
  const expected = quality.received + quality.lost;
  const lost = expected ? (100 * quality.lost) / expected : 0;
  const grade = lost < 1 && quality.jitter_ms < 20 ? "good" : lost < 3 && quality.jitter_ms < 40 ? "fair" : "poor";
  return { grade, text: `${lost.toFixed(1)} % lost, jitter ${round(quality.jitter_ms)} ms, buffer ${round(quality.delay_ms)} ms` };
}

const round = (value) => Math.round(Number(value) || 0);
