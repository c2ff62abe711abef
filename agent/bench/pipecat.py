"""``crosstalk bench pipecat``: what Pipecat's live service adds, whether its context is what was heard, and its parts.

The same caller's audio goes in by our own socket and by Pipecat's unmodified live service, against one service, in the
same seconds. Both callers note when audio is handed to them; both send a frame when its last sample has been spoken.
Then calls have Pipecat's services as ears, brain and voice, at vendors that answer at once, and after them our own
parts in the same conversation; CPU is of the processes that host them (docs/benchmarks.md).
"""

from __future__ import annotations

import asyncio
import difflib
import json
import sys
import tempfile
import wave
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import numpy as np
from numpy.typing import NDArray

from agent.bench.machine import children, machine_facts, process_cost
from agent.bench.pipecat_servers import vendor
from agent.bench.statistics import percentile
from agent.errors import AgentError
from agent.simulator.clips import at_level
from agent.simulator.render import Renderer

RATE_HZ = 24000
FRAME_S = 0.02
FRAME = int(RATE_HZ * FRAME_S)
LOUD = 600
"""Sample value above which something is heard; both ends are digital."""
FIRST_S = 9.0
"""Of the first question: behind the greeting."""
BURSTS_FROM_S = 4.0
CYCLE_S = 9.0
BURST_S = 0.1
APART_S = 3.0
"""Between the beginnings of Pipecat's calls: their order tells which is which."""
ALIKE = 0.6
"""Correlation from which a sound is the one that was sent, the telephone's band and G.711 between."""
BAR_MS = 60.0
BOOT = "from agent.bench.pipecat_client import main; main()"
ECHO = {"engine.model": "echo", "agent.brain": "chatter", "voice.engine": "marker", "ears.recogniser": "none"}
ROOM = {"engine.spare": 0, "engine.step_budget": 1.0}
"""A busy machine measures a slow step at the start, and would refuse the second call."""
QUESTION, STOP = "what are your opening hours", "that is enough"
ANSWERS = (
    "We are open from nine to five on weekdays. On Saturdays we close at noon, and on Sundays nobody is here.",
    "You find us in the main street, beside the old church. There is room for your car behind the house.",
)
SETTLE_S = 12.0
"""Fixed phrases are rendered behind the start."""


class Running(Protocol):
    """A started service (``agent.app.Service``)."""

    @property
    def http_url(self) -> str: ...

    @property
    def stream_port(self) -> int: ...

    @property
    def pid(self) -> int: ...


StartService = Callable[[Mapping[str, object]], AbstractAsyncContextManager[Running]]


@dataclass(frozen=True, slots=True)
class Heard:
    """What one caller was handed: frames with their times, in seconds from the caller's first sample."""

    at: NDArray[np.float64]
    size: NDArray[np.int64]
    pcm: NDArray[np.int16]
    context: list[dict[str, Any]]
    sent_late: NDArray[np.float64]
    """By how much each frame of the caller was sent later than its last sample was spoken, in seconds."""

    def onset_after(self, second: float) -> float | None:
        """When the first loud sample after a silence came whose frame came after ``second``."""
        ends = np.cumsum(self.size)
        first = int(np.searchsorted(self.at, second))
        begin = int(ends[first] - self.size[first]) if first < len(ends) else len(self.pcm)
        loud = np.flatnonzero(np.abs(self.pcm[begin:].astype(np.int32)) > LOUD)
        if not loud.size:
            return None
        sample = begin + int(loud[0])
        frame = int(np.searchsorted(ends, sample, side="right"))
        return float(self.at[frame]) + (sample - int(ends[frame] - self.size[frame])) / RATE_HZ

    def found_at(self, sound: NDArray[np.int16], first_s: float, last_s: float) -> float | None:
        """When the first sample of ``sound`` came, looked for among the frames of these seconds."""
        ends = np.cumsum(self.size)
        low, high = (int(np.searchsorted(self.at, second)) for second in (first_s, last_s))
        if high <= low:
            return None
        begin = int(ends[low] - self.size[low])
        heard = self.pcm[begin : int(ends[high - 1])].astype(np.float64)
        if len(heard) < len(sound):
            return None
        shape = sound.astype(np.float64)
        match = np.correlate(heard, shape, "valid")
        power = np.convolve(heard**2, np.ones(len(shape)), "valid")
        likeness = match / np.sqrt(np.maximum(power, 1.0) * np.sum(shape**2))
        best = int(np.argmax(likeness))
        if likeness[best] < ALIKE:
            return None
        sample = begin + best
        frame = int(np.searchsorted(ends, sample, side="right"))
        return float(self.at[frame]) + (sample - int(ends[frame] - self.size[frame])) / RATE_HZ


# --- the two doors ---


async def by_socket(port: int, audio: NDArray[np.int16], seconds: float) -> Heard:
    """The caller through our own PCM socket."""
    at: list[float] = []
    late: list[float] = []
    frames: list[bytes] = []
    loop = asyncio.get_running_loop()
    url = f"ws://127.0.0.1:{port}/v1/pcm?format=pcm16&rate={RATE_HZ}"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket, asyncio.TaskGroup() as tasks:

        async def listen() -> None:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    at.append(loop.time())
                    frames.append(message.data)

        listening = tasks.create_task(listen())
        await asyncio.sleep(1.0)
        begin = loop.time()
        for n in range(int(seconds / FRAME_S)):
            await asyncio.sleep(max(0.0, begin + (n + 1) * FRAME_S - loop.time()))
            late.append(loop.time() - begin - (n + 1) * FRAME_S)
            piece = audio[n * FRAME : (n + 1) * FRAME].astype("<i2").tobytes()
            await socket.send_bytes(piece.ljust(2 * FRAME, b"\0"))
        await socket.send_json({"type": "end"})
        await listening
    sizes = np.array([len(frame) // 2 for frame in frames], np.int64)
    return Heard(np.array(at) - begin, sizes, np.frombuffer(b"".join(frames), "<i2"), [], np.array(late))


async def by_pipecat(port: int, audio: NDArray[np.int16], seconds: float) -> Heard:
    """The same caller through Pipecat's live service, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="crosstalk-bench-") as folder:
        path, out = Path(folder) / "caller.wav", Path(folder) / "heard.npz"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
            file.writeframes(audio.astype("<i2").tobytes())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-c", BOOT,
            f"ws://127.0.0.1:{port}/v1/live/sessions", str(path), str(seconds), str(out),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        stdout, stderr = await process.communicate()
        if process.returncode:
            raise AgentError(f"Pipecat's process ended with {process.returncode}: {stderr.decode()[-500:]}")
        with np.load(out) as kept:
            return Heard(kept["at"], kept["size"], kept["pcm"], json.loads(stdout.splitlines()[-1]), kept["sent_late"])


def wide(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    """8 kHz to ``RATE_HZ`` by lines between the samples: good enough for a caller on a telephone."""
    at = np.arange(len(pcm) * 3) / 3
    return np.interp(at, np.arange(len(pcm)), pcm).astype(np.int16)


# --- added latency: what is said comes back in the same step ---


async def echo_delays(start_service: StartService, *, bursts: int, rounds: int) -> dict[str, Any]:
    """Mouth to ear and back through both doors, of an agent that says what it hears."""
    audio, begins = burst_line(bursts)
    phase = np.random.default_rng(20261126)
    found: dict[str, list[float]] = {"socket": [], "pipecat": []}
    pace: dict[str, list[Heard]] = {"socket": [], "pipecat": []}
    async with start_service({**ECHO, "stream.doors": '["pcm", "live"]', **ROOM}) as service:
        for _ in range(rounds):
            seconds = len(audio) / RATE_HZ + 1.0
            await asyncio.sleep(float(phase.uniform(0.0, FRAME_S)))  # against the service's tick
            pair = (by_socket(service.stream_port, audio, seconds), by_pipecat(service.stream_port, audio, seconds))
            for door, heard in zip(found, await asyncio.gather(*pair), strict=True):
                pace[door].append(heard)
                onsets = [heard.found_at(chirp(), begin, begin + 0.9) for begin in begins]
                found[door] += [
                    1000 * (onset - begin) if onset is not None else float("inf")
                    for onset, begin in zip(onsets, begins, strict=True)
                ]
    return compare(found) | {"pace": {door: punctuality(calls) for door, calls in pace.items()}}


def punctuality(calls: Sequence[Heard]) -> dict[str, Any]:
    """Where time is lost: frames that the caller's process sent late, and frames that came to it late."""
    kinds = {"sent_late_ms": [call.sent_late for call in calls], "came_late_ms": [lateness(call) for call in calls]}
    return {kind: summary([1000 * float(one) for one in np.concatenate(late)]) for kind, late in kinds.items()}


def burst_line(bursts: int) -> tuple[NDArray[np.int16], list[float]]:
    """A chirp each second, behind the greeting; and when each begins."""
    tone = chirp()
    begins = [BURSTS_FROM_S + n for n in range(bursts)]
    line = np.zeros(int((begins[-1] + 1.0) * RATE_HZ), np.int16)
    for begin in begins:
        line[int(begin * RATE_HZ) : int(begin * RATE_HZ) + len(tone)] = tone
    return line, begins


def chirp() -> NDArray[np.int16]:
    """100 ms from 500 to 2500 Hz: nothing else in a call sounds like it."""
    at = np.arange(int(BURST_S * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * (500 * at + (2500 - 500) / BURST_S * at**2 / 2)
    return (8000 * np.sin(phase) * np.hanning(len(at)) ** 0.3).astype(np.int16)


def compare(found: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Percentiles of both doors, and of what Pipecat's adds: sound by sound."""
    pairs = zip(found["socket"], found["pipecat"], strict=True)
    added = [theirs - ours for ours, theirs in pairs if np.isfinite(ours) and np.isfinite(theirs)]
    return {
        **{f"{door}_ms": summary(values) for door, values in found.items()},
        "added_ms": summary(added),
        "within_60_ms": {f"p{share}": bool(percentile(added, share / 100) <= BAR_MS) for share in (50, 95)},
    }


def summary(values: Sequence[float]) -> dict[str, Any]:
    finite = [value for value in values if np.isfinite(value)]
    return {
        "n": len(values),
        "misses": len(values) - len(finite),
        **{f"p{share}": round(percentile(values, share / 100), 1) for share in (5, 50, 95)},
    }


# --- interrupted answers: the context is what was heard ---


def talk_line(cycles: int, *, shift: int) -> tuple[NDArray[np.int16], list[float]]:
    """Questions, each answer talked over; and when each question ends. ``shift`` moves the interruptions."""
    renderer = Renderer()
    question, stop = (wide(at_level(renderer.speech(text), -22.0)) for text in (QUESTION, STOP))
    line = np.zeros(int((FIRST_S + cycles * CYCLE_S) * RATE_HZ), np.int16)
    ends = []
    for n in range(cycles):
        begin = FIRST_S + n * CYCLE_S
        cut = begin + len(question) / RATE_HZ + 1.4 + 0.13 * ((n + shift) % 9)
        for at, pcm in ((begin, question), (cut, stop)):
            line[int(at * RATE_HZ) : int(at * RATE_HZ) + len(pcm)] = pcm
        loud = np.flatnonzero(np.abs(question.astype(np.int32)) > LOUD)
        ends.append(begin + int(loud[-1]) / RATE_HZ)
    return line, ends


async def interrupted_answers(start_service: StartService, *, wanted: int, cycles: int) -> dict[str, Any]:
    """Rounds of one call by our socket and two by Pipecat, until so many answers were cut in Pipecat's calls."""
    judged: list[dict[str, Any]] = []
    responses: dict[str, list[float]] = {"socket": [], "pipecat": []}
    silent = rounds = 0
    async with start_service({"stream.doors": '["pcm", "live"]', **ROOM}) as service:
        while sum(call["interrupted"] for call in judged) < wanted and rounds < 2 + 2 * wanted // cycles:
            lines = [talk_line(cycles, shift=4 * rounds + 2 * n) for n in range(2)]
            rounds += 1
            ours, *theirs = await asyncio.gather(
                _by(by_socket, service, lines[0][0], after_s=2 * APART_S),
                *(_by(by_pipecat, service, line, after_s=n * APART_S) for n, (line, _) in enumerate(lines)),
            )
            told = await _utterances(service, "live", len(theirs))
            silent += sum(not heard.pcm.size for heard in (ours, *theirs))
            if ours.pcm.size and theirs[0].pcm.size:
                for door, heard in (("socket", ours), ("pipecat", theirs[0])):
                    responses[door] += [response_ms(heard, end) for end in lines[0][1]]
            for heard, utterances in zip(theirs, told, strict=True):
                if not heard.pcm.size:
                    continue  # refused: a busy machine takes fewer calls
                late_by_ms = round(1000 * float(np.max(lateness(heard))), 1)
                judged.append({**judge(heard.context, utterances), "late_by_ms": late_by_ms})
    return {
        "calls": len(judged),
        "calls_refused": silent,
        "interrupted_answers": sum(call["interrupted"] for call in judged),
        "context_equals_heard": sum(call["exact"] for call in judged),
        "latest_frame_ms": [call["late_by_ms"] for call in judged],
        "whole_contexts_equal": sum(call["whole"] for call in judged),
        "wrong": [one for call in judged for one in call["wrong"]][:10],
        "response": compare(responses),
    }


async def _by(
    door: Callable[[int, NDArray[np.int16], float], Awaitable[Heard]],
    service: Running,
    audio: NDArray[np.int16],
    *,
    after_s: float = 0.0,
) -> Heard:
    await asyncio.sleep(after_s)
    return await door(service.stream_port, audio, len(audio) / RATE_HZ + 3.0)


def lateness(heard: Heard) -> NDArray[np.float64]:
    """How late each frame came against the earliest one, by the pace of the audio."""
    played = np.cumsum(heard.size) / RATE_HZ
    behind: NDArray[np.float64] = heard.at - played
    return np.asarray(behind - behind.min(), np.float64)


def response_ms(heard: Heard, end: float) -> float:
    """From the last sample of the question to the first sound after it; a miss where none came in 4 s."""
    onset = heard.onset_after(end + 0.05)
    return 1000 * (onset - end) if onset is not None and onset - end < 4.0 else float("inf")


async def _utterances(service: Running, transport: str, count: int) -> list[list[dict[str, Any]]]:
    """What became of the utterances of the newest ``count`` calls of a transport, oldest call first."""
    found: list[list[dict[str, Any]]] = []
    async with aiohttp.ClientSession() as http:
        for _ in range(100):
            async with http.get(f"{service.http_url}/v1/calls?limit=20") as answer:
                newest = [one for one in (await answer.json())["calls"] if one["transport"] == transport][:count]
            if all(one["state"] == "ended" for one in newest):
                break
            await asyncio.sleep(0.1)
        for call in reversed(newest):
            async with http.get(f"{service.http_url}/v1/calls/{call['call_id']}/timeline") as answer:
                entries = (await answer.json())["entries"]
            ended = [e["data"] for e in entries if e["kind"] == "utterance" and e["data"]["phase"] == "ended"]
            found.append([data for data in ended if data["why"] != "closed"])
    return found


def judge(context: Sequence[Mapping[str, Any]], utterances: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare the assistant's words of a context with what was heard, word by word, answer by answer."""
    told = [w for m in context if m["role"] == "assistant" for w in str(m["content"]).split()]
    heard: list[str] = []
    owner: list[int] = []
    for number, utterance in enumerate(utterances):
        words = str(utterance["heard"] or "").split()
        heard += words
        owner += [number] * len(words)
    touched: set[int] = set()
    for kind, _, _, begin, end in difflib.SequenceMatcher(None, told, heard, autojunk=False).get_opcodes():
        if kind == "insert":
            touched.update(owner[begin:end])
        elif kind != "equal":  # words told that nobody heard belong to the answer before them
            touched.update(owner[begin:end] or owner[max(0, begin - 1) : begin])
    cut = [n for n, one in enumerate(utterances) if one["why"] == "yielded" and one["unheard"]]
    return {
        "interrupted": len(cut),
        "exact": sum(n not in touched for n in cut),
        "whole": told == heard,
        "wrong": [{"heard": utterances[n]["heard"], "unheard": utterances[n]["unheard"]} for n in cut if n in touched],
    }


# --- what parts cost ---


async def part_costs(start_service: StartService, *, calls: int, cycles: int) -> dict[str, Any]:
    """CPU of each call's share of the processes that host Pipecat, beside our own parts in the same conversation."""
    audio, _ = talk_line(cycles, shift=0)
    seconds = len(audio) / RATE_HZ + 1.0
    found: dict[str, Any] = {"calls": calls, "seconds": round(seconds, 1)}
    async with vendor(f"{QUESTION.capitalize()}?", ANSWERS) as server:
        with tempfile.TemporaryDirectory(prefix="crosstalk-bench-") as folder:
            path = Path(folder) / "agent.yaml"
            path.write_text(agent_yaml(server.url))
            # Every clause is rendered: with so few answers the phrase cache would hide what a voice costs.
            doors = {"stream.doors": '["pcm"]', "voice.cache_phrases": 0, **ROOM}
            async with start_service({**doors, "agent.dialogue": str(path)}) as service:
                found["pipecat"] = await _cost_of(service, calls, audio, seconds)
                found["asked"] = dict(server.asked)
            async with start_service(doors) as service:
                found["own"] = await _cost_of(service, calls, audio, seconds)
    return found


def agent_yaml(url: str) -> str:
    """An agent whose three parts are Pipecat's services at one vendor."""
    lines = []
    for part, cls in (
        ("recogniser", "stt.OpenAISTTService"),
        ("brain", "llm.OpenAILLMService"),
        ("voice", "tts.OpenAITTSService"),
    ):
        lines.append(f"{part}:\n  pipecat: pipecat.services.openai.{cls}")
        lines.append(f"  arguments: {{base_url: {url}, api_key: none}}")
    return "\n".join(lines) + "\n"


async def _cost_of(service: Running, calls: int, audio: NDArray[np.int16], seconds: float) -> dict[str, Any]:
    await asyncio.sleep(SETTLE_S)
    before = _processes(service.pid)
    idle = {name: cost.rss_mb for name, cost in before.items()}
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(calls):
            tasks.create_task(by_socket(service.stream_port, audio, seconds))
            await asyncio.sleep(0.25)  # callers do not ring in the same millisecond
        await asyncio.sleep(seconds * 0.6)
        during = {name: cost.rss_mb for name, cost in _processes(service.pid).items()}
    wall = loop.time() - began
    after = _processes(service.pid)
    return {
        name: {
            "cpu_percent_per_call": round(100 * (after[name].cpu_s - before[name].cpu_s) / wall / calls, 3),
            "rss_mb": round(idle[name], 1),
            "rss_mb_per_call": round((during.get(name, idle[name]) - idle[name]) / calls, 2),
        }
        for name in sorted(before)
        if name in after
    } | {"front_lag_ms": await _lag(service)}


def _processes(pid: int) -> dict[str, Any]:
    """Costs by what a process is: ``front worker1 edge stream``, and helpers by their owner."""
    found: dict[str, Any] = {}
    for child in children(pid):
        name = _name(child)
        cost = process_cost(child)
        if name and cost is not None:
            found[name] = cost
    return found


def _name(pid: int) -> str:
    """From the command line: ours end with their role."""
    try:
        words = [
            word.decode(errors="replace") for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if word
        ]
    except OSError:
        return ""
    text = " ".join(words)
    if "agent.pipecat.host" in text:
        return f"pipecat {words[-1]}"
    if "agent.voice.process" in text:
        return "own voice"
    if "recogniser_process" in text:
        return "own recogniser"
    return words[-1] if "agent.process" in text else ""


async def _lag(service: Running) -> dict[str, float]:
    """How late the front's loop woke: mean, and the bound that 99 % stayed under."""
    async with aiohttp.ClientSession() as http, http.get(f"{service.http_url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    named = [
        line for line in lines if line.startswith("crosstalk_event_loop_lag_seconds") and 'process="front"' in line
    ]
    buckets = [
        (float(line.split('le="')[1].split('"')[0]), float(line.rpartition(" ")[2]))
        for line in named
        if "_bucket" in line
    ]
    count = max((n for _, n in buckets), default=0.0)
    total = next((float(line.rpartition(" ")[2]) for line in named if "_sum" in line), 0.0)
    within = next((bound for bound, n in buckets if count and n >= 0.99 * count), float("nan"))
    return {"mean": round(1000 * total / count, 2) if count else 0.0, "p99_under": round(1000 * within, 1)}


# --- the command ---


async def pipecat_bench(
    *, start_service: StartService, parts: Sequence[str], interruptions: int, calls: int, rounds: int
) -> dict[str, Any]:
    """All of it, about ten minutes. Raises ``AgentError`` without the extra ``pipecat``."""
    if find_spec("pipecat") is None:
        raise AgentError("the bench needs the extra 'pipecat'")
    found: dict[str, Any] = {}
    if "latency" in parts:
        found["latency"] = await echo_delays(start_service, bursts=8, rounds=rounds)
    if "context" in parts:
        found["context"] = await interrupted_answers(start_service, wanted=interruptions, cycles=12)
    if "parts" in parts:
        found["parts"] = await part_costs(start_service, calls=calls, cycles=4)
    return {**found, "machine": machine_facts()}
