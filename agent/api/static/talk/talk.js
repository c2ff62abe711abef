// The page to talk to the agent: one peer connection, two voices on a canvas, words as they become heard.
// Static and without dependencies; docs/howto/browser.md tells what it asks of the service.

const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];
const GATHER_MS = 1000; // how long an offer waits for more of our own addresses
const RESUME_MS = 10_000; // how long the service keeps a call whose connection is lost
const PLAYOUT_MS = 60; // between the packet and the ear, about
const CLEAR_MS = 4000; // keys shown under the keypad

const byId = (id) => document.getElementById(id);
const body = document.body;

// --- the call ------------------------------------------------------------------------------------------------------

let call = null; // {pc, channel, mic, resumeToken, resource, lostAt, over}
let audio = null; // AudioContext, made by the first press

async function begin({ silent = false } = {}) {
  if (call) return;
  hideHelp();
  setState("connecting", "Asking for the microphone …");
  call = { over: false, lostAt: 0 };
  const mine = call;
  try {
    audio ??= new AudioContext();
    await audio.resume();
    mine.mic = silent ? silentStream() : await microphone();
    if (mine.over) return stopTracks(mine.mic);
    clearTranscript();
    setState("connecting", "Connecting …");
    watchVoice("caller", mine.mic);
    const { token, ice_servers } = await asked("/v1/webrtc/token");
    mine.iceServers = ice_servers;
    await connect(mine, { token });
  } catch (error) {
    if (mine === call) fail(error);
  }
}

function microphone() {
  if (!navigator.mediaDevices) throw new DOMException("no media devices", "InsecureContext");
  return navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  });
}

function silentStream() {
  return audio.createMediaStreamDestination().stream;
}

async function connect(mine, proof) {
  const pc = new RTCPeerConnection({ iceServers: mine.iceServers });
  const channel = pc.createDataChannel("live");
  for (const track of mine.mic.getTracks()) pc.addTrack(track, mine.mic);
  pc.addEventListener("track", (event) => {
    const stream = event.streams[0] ?? new MediaStream([event.track]);
    byId("agent").srcObject = stream;
    watchVoice("agent", stream);
  });
  channel.addEventListener("message", (event) => pc === mine.pc && show(JSON.parse(event.data)));
  pc.addEventListener("connectionstatechange", () => connectionChanged(mine, pc));
  await pc.setLocalDescription(await pc.createOffer());
  await gathered(pc);
  const answer = await asked("/v1/webrtc/offer", { sdp: pc.localDescription.sdp, ...proof });
  if (mine.over) return pc.close();
  mine.pc?.close();
  Object.assign(mine, { pc, channel, resumeToken: answer.resume_token, resource: answer.resource });
  await pc.setRemoteDescription({ type: "answer", sdp: answer.sdp });
}

function gathered(pc) {
  return new Promise((resolve) => {
    const done = () => pc.iceGatheringState === "complete" && resolve();
    pc.addEventListener("icegatheringstatechange", done);
    setTimeout(resolve, GATHER_MS);
    done();
  });
}

function connectionChanged(mine, pc) {
  if (mine !== call || pc !== mine.pc) return;
  if (pc.connectionState === "connected") {
    mine.lostAt = 0;
    setState("live", "Connected");
  } else if (pc.connectionState === "failed" || pc.connectionState === "disconnected") {
    lost(mine);
  } else if (pc.connectionState === "closed") {
    finish("The agent hung up");
  }
}

async function lost(mine) {
  if (mine.lostAt) return;
  mine.lostAt = performance.now();
  setState("lost", "Connection lost, coming back …");
  while (mine === call && mine.lostAt && performance.now() - mine.lostAt < RESUME_MS) {
    await sleep(1200);
    if (mine !== call || !mine.lostAt) return;
    if (mine.pc.connectionState === "connected") return connectionChanged(mine, mine.pc);
    try {
      await connect(mine, { resume_token: mine.resumeToken });
      await connectedWithin(mine.pc, 3000);
    } catch (error) {
      if (error.status === 410) break;
    }
  }
  if (mine === call && mine.lostAt) finish("The connection was lost");
}

function connectedWithin(pc, ms) {
  return new Promise((resolve) => {
    pc.addEventListener("connectionstatechange", () => pc.connectionState === "connected" && resolve());
    setTimeout(resolve, ms);
  });
}

function hangUp() {
  if (!call) return;
  if (call.resource) fetch(call.resource, { method: "DELETE", keepalive: true }).catch(() => {});
  finish("You hung up");
}

function finish(why) {
  const mine = call;
  call = null;
  if (!mine) return;
  mine.over = true;
  stopTracks(mine.mic);
  mine.pc?.close();
  byId("agent").srcObject = null;
  voices.agent = voices.caller = null;
  settleWords();
  setState("idle", why);
}

function stopTracks(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

async function asked(url, payload) {
  const options = payload
    ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(payload) }
    : {};
  let answer;
  try {
    answer = await fetch(url, options);
  } catch {
    throw Object.assign(new Error("The service does not answer. Is it running?"), { status: 0, rule: "away" });
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw Object.assign(new Error(found.detail ?? answer.statusText), { status: answer.status, rule: found.rule });
  }
  return found;
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// --- states and help -----------------------------------------------------------------------------------------------

function setState(state, text) {
  body.dataset.state = state;
  byId("status").textContent = text;
  const active = state === "live" || state === "lost" || state === "connecting";
  byId("talk-label").textContent = active ? "Hang up" : "Talk";
  byId("hint").textContent = active ? HINTS[state] : "Interrupt whenever you like. It listens while it talks.";
  for (const key of byId("keypad").children) key.disabled = state !== "live";
  if (state !== "live") body.dataset.floor = "open";
}

const HINTS = {
  live: "Go ahead. Interrupt it, mumble, change your mind.",
  lost: "Your call waits for you.",
  connecting: "One moment.",
};

const HELP = {
  NotAllowedError: [
    "The microphone is blocked",
    "Your browser did not let this page listen. Click the symbol left of the address, set Microphone to Allow, and try again.\nOn a phone: the browser's settings → Site settings → Microphone. On a Mac: System Settings → Privacy & Security → Microphone must list your browser.",
  ],
  NotFoundError: ["No microphone was found", "Plug one in, or choose one in the system's sound settings, and try again."],
  NotReadableError: [
    "The microphone is in use",
    "Another program holds it. Close the other call or recorder and try again.",
  ],
  InsecureContext: [
    "Browsers give the microphone only to safe pages",
    "Open this page as http://localhost:PORT on the machine that runs the service, or put a server with TLS in front of it and open https://…",
  ],
  "no-webrtc": ["Browsers cannot call yet", ""],
  "no-capacity": ["All lines are busy", "Every line to the agent is taken. Try again in a few seconds."],
  refused: ["The call was refused", "The service decided not to take this call."],
};

function fail(error) {
  const mine = call;
  finish("Not connected");
  stopTracks(mine?.mic);
  setState("error", "Not connected");
  const [title, text] = HELP[error.rule] ?? HELP[error.name] ?? ["The call could not be made", error.message];
  const command = /pip install '[^']+'/.exec(error.message)?.[0] ?? "";
  byId("help-title").textContent = title;
  byId("help-text").textContent = (text || error.message).replace("PORT", location.port || "80");
  byId("help-command").textContent = command;
  byId("help-command").hidden = !command;
  byId("keys-only").hidden = !["NotAllowedError", "NotFoundError", "NotReadableError"].includes(error.name);
  byId("help").hidden = false;
  byId("retry").focus();
}

function hideHelp() {
  byId("help").hidden = true;
}

// --- live events ---------------------------------------------------------------------------------------------------

const utterances = new Map(); // number → {item, words: [{span, start, end}], started, timers}
let partial = null; // the caller's running turn
const latencies = [];

const SHOW = {
  floor: ({ after }) => (body.dataset.floor = after),
  words: ({ text, final }) => showCaller(text, final),
  turn: ({ phase, text }) => {
    if (phase === "started") forgetPrepared(Infinity);
    if (phase === "ended") showCaller(text, true);
  },
  speech: ({ number, words }) => addWords(number, words),
  utterance: (data) => (data.phase === "started" ? startUtterance(data) : endUtterance(data)),
  response: ({ latency_ms }) => showLatency(latency_ms),
  overlap: ({ verdict }) => verdict === "backchannel" && note("“uh-huh” noticed, the agent goes on"),
  resume: () => note("the agent goes on where it was"),
  dtmf: ({ digit }) => note(`key ${digit}`),
  ended: () => finish("The agent hung up"),
};

function show({ kind, data }) {
  SHOW[kind]?.(data);
}

function showCaller(text, final) {
  if (!text) return;
  partial ??= addItem("caller partial");
  partial.textContent = text;
  if (final) {
    partial.classList.remove("partial");
    partial = null;
  }
  follow();
}

function utteranceOf(number) {
  let found = utterances.get(number);
  if (!found) {
    found = { item: addItem("agent"), words: [], started: 0, timers: [] };
    utterances.set(number, found);
  }
  return found;
}

function addWords(number, words) {
  const utterance = utteranceOf(number);
  for (const [text, start, end] of words) {
    const span = document.createElement("span");
    span.className = utterance.started ? "word" : "word prepared";
    span.textContent = text;
    if (utterance.words.length) utterance.item.append(" ");
    utterance.item.append(span);
    const word = { span, start, end };
    utterance.words.push(word);
    if (utterance.started) schedule(utterance, word);
  }
  follow();
}

function startUtterance({ number, text }) {
  forgetPrepared(number);
  const utterance = utteranceOf(number);
  utterance.started = performance.now() + PLAYOUT_MS;
  if (!utterance.words.length) addWords(number, estimated(text));
  for (const word of utterance.words) {
    word.span.classList.remove("prepared");
    schedule(utterance, word);
  }
}

function estimated(text) {
  let at = 0;
  return text.split(/\s+/).map((word) => [word, at, (at += 120 + 55 * word.length)]);
}

function schedule(utterance, word) {
  const wait = Math.max(0, utterance.started + word.end - performance.now());
  utterance.timers.push(setTimeout(() => word.span.classList.add("heard"), wait));
}

function endUtterance({ number, heard, unheard }) {
  const utterance = utterances.get(number);
  if (!utterance) return;
  utterances.delete(number);
  utterance.timers.forEach(clearTimeout);
  const spoken = heard ? heard.trim().split(/\s+/).length : 0;
  const count = unheard ? Math.min(spoken, utterance.words.length) : utterance.words.length;
  utterance.words.forEach(({ span }, at) => {
    span.className = at < count ? "word heard" : "word unheard";
  });
}

function forgetPrepared(before) {
  for (const [number, utterance] of utterances) {
    if (number >= before || utterance.started) continue;
    utterance.item.remove();
    utterances.delete(number);
  }
}

function settleWords() {
  forgetPrepared(Infinity);
  for (const utterance of utterances.values()) utterance.timers.forEach(clearTimeout);
  utterances.clear();
  partial = null;
}

function showLatency(ms) {
  latencies.push(ms);
  const ordered = [...latencies].sort((a, b) => a - b);
  byId("latency-value").textContent = `${ordered[ordered.length >> 1]} ms`;
  const items = byId("transcript").querySelectorAll(".agent");
  const took = document.createElement("span");
  took.className = "took";
  took.textContent = `${ms} ms`;
  items[items.length - 1]?.append(took);
}

function addItem(kind) {
  const item = document.createElement("li");
  item.className = kind;
  byId("transcript").append(item);
  return item;
}

function note(text) {
  addItem("event").textContent = text;
  follow();
}

function follow() {
  const list = byId("transcript");
  list.scrollTop = list.scrollHeight;
}

function clearTranscript() {
  byId("transcript").replaceChildren();
  latencies.length = 0;
  byId("latency-value").textContent = "–";
  settleWords();
}

// --- both voices ---------------------------------------------------------------------------------------------------

const voices = { agent: null, caller: null };
const STEP_MS = 33;
const BAR = 5;
const trail = []; // [agent, caller] levels, oldest first
const HEARING_DB = 46; // quietest that is drawn, below full scale

function watchVoice(who, stream) {
  const analyser = audio.createAnalyser();
  analyser.fftSize = 1024;
  audio.createMediaStreamSource(stream).connect(analyser);
  voices[who] = { analyser, samples: new Float32Array(analyser.fftSize) };
}

function level(voice) {
  if (!voice) return 0;
  voice.analyser.getFloatTimeDomainData(voice.samples);
  let sum = 0;
  for (const sample of voice.samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / voice.samples.length + 1e-10);
  return Math.min(1, Math.max(0, (db + HEARING_DB) / (HEARING_DB - 8)));
}

let drawnAt = 0;

function draw(now) {
  requestAnimationFrame(draw);
  if (now - drawnAt < STEP_MS) return;
  drawnAt = now;
  const canvas = byId("voices");
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  trail.push([level(voices.agent), level(voices.caller)]);
  const bars = Math.ceil(width / BAR);
  trail.splice(0, trail.length - bars);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  drawBars(pen, width, height);
}

function drawBars(pen, width, height) {
  const style = getComputedStyle(body);
  const middle = height / 2;
  const reach = middle - 14;
  const colours = [style.getPropertyValue("--agent"), style.getPropertyValue("--caller")];
  const rest = style.getPropertyValue("--line");
  for (let at = 0; at * BAR < width; at += 1) {
    const levels = trail[trail.length - 1 - at] ?? [0, 0];
    const x = width - (at + 1) * BAR;
    levels.forEach((value, who) => {
      pen.fillStyle = value > 0.02 ? colours[who] : rest;
      pen.globalAlpha = value > 0.02 ? 1 - (0.75 * at * BAR) / width : 1;
      const long = Math.max(1.5, value * reach);
      pen.beginPath();
      pen.roundRect(x, who ? middle + 2 : middle - 2 - long, BAR - 2, long, 1.5);
      pen.fill();
    });
  }
  pen.globalAlpha = 1;
}

// --- keys ----------------------------------------------------------------------------------------------------------

let pressedTimer = 0;

function press(digit) {
  const channel = call?.channel;
  if (body.dataset.state !== "live" || !channel) return;
  const send = () => channel.send(JSON.stringify({ type: "dtmf", digit }));
  if (channel.readyState === "open") send();
  else if (channel.readyState === "connecting") channel.addEventListener("open", send, { once: true });
  else return;
  byId("pressed").textContent += digit;
  clearTimeout(pressedTimer);
  pressedTimer = setTimeout(() => (byId("pressed").textContent = ""), CLEAR_MS);
}

function makeKeypad() {
  for (const digit of KEYS) {
    const key = document.createElement("button");
    key.type = "button";
    key.textContent = digit;
    key.disabled = true;
    key.dataset.key = digit;
    if (digit === "*") key.setAttribute("aria-label", "star");
    if (digit === "#") key.setAttribute("aria-label", "hash");
    key.addEventListener("click", () => press(digit));
    byId("keypad").append(key);
  }
}

function typed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "Escape") hangUp();
  if (!KEYS.includes(event.key)) return;
  press(event.key);
  const key = byId("keypad").querySelector(`[data-key="${event.key}"]`);
  key.classList.add("down");
  setTimeout(() => key.classList.remove("down"), 150);
}

// --- start ---------------------------------------------------------------------------------------------------------

makeKeypad();
byId("talk").addEventListener("click", () => (call ? hangUp() : begin()));
byId("retry").addEventListener("click", () => begin());
byId("keys-only").addEventListener("click", () => begin({ silent: true }));
document.addEventListener("keydown", typed);
addEventListener("pagehide", hangUp);
requestAnimationFrame(draw);
