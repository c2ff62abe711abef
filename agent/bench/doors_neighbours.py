"""Does a call through another door move a telephone's packets? One telephone, and windows of time with and without.

One SIP call lasts the whole measurement; the kernel dates its packets. In turns nobody, browsers, and WebSocket clients
come and go beside it. Witnesses of the processors (``agent.bench.witness``) tell how much of a packet's lateness was
the host's: what is left is ours.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
from numpy.typing import NDArray

from agent.bench.doors_service import ECHO_AGENT, Running, StartService, open_doors, pcm_url
from agent.bench.machine import steal_s
from agent.bench.webrtc import come_and_go
from agent.bench.witness import Evidence, witnesses
from agent.simulator.caller import run_call
from agent.simulator.media import MediaThread
from agent.simulator.recording import PacketTrack, ordered
from agent.simulator.script import parse_script
from agent.simulator.webrtc_call import reachable
from telephony.clock import MonotonicClock

BAR_MS = 5.0
WINDOW_S = 12.0
SETTLE_S = 2.0
"""Between windows: what has ended may take a moment to be gone."""
STREAM_S = 1.0
FRAME_BYTES = 320
LISTEN = "max_s: {s}\nsteps:\n  - wait: {ms}\n  - hangup\n"
KINDS = ("alone", "browsers", "websockets")


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time (monotonic) in which one kind of call came and went."""

    kind: str
    start: float
    end: float
    calls: int


@dataclass(frozen=True, slots=True)
class Late:
    """Packets of one kind of window, milliseconds each."""

    wire_ms: NDArray[np.float64]
    """Behind the telephone's usual rhythm."""
    ours_ms: NDArray[np.float64]
    """Of that, what no witness explains."""


async def neighbours_figures(start_service: StartService, *, rounds: int, legs: int) -> dict[str, Any]:
    """All windows, about 45 s per round. Raises ``AgentError`` without the extra ``webrtc``."""
    settings = open_doors("pcm", "live", browsers=True, more={**ECHO_AGENT, "engine.spare": 0})
    seconds = rounds * len(KINDS) * (WINDOW_S + SETTLE_S) + SETTLE_S + 6.0
    listen = parse_script(LISTEN.format(ms=round(seconds * 1000), s=round(seconds) + 5))
    stolen_s = steal_s()
    async with start_service(settings) as service, aiohttp.ClientSession() as http:
        with MediaThread() as media, reachable(service.http_url):
            async with witnesses() as seen:
                loop_start = MonotonicClock().now()
                telephone = asyncio.ensure_future(run_call(service.sip_uri, listen, media=media))
                await asyncio.sleep(SETTLE_S + 2.0)
                windows = await _windows(service, http, rounds=rounds, legs=legs)
                result = await telephone
        scheduling = await _edge_scheduling(http, service)
    late = split(result.track, result.started_at, windows, seen)
    return {
        **{kind: spread(late[kind]) for kind in KINDS},
        "calls": {kind: sum(one.calls for one in windows if one.kind == kind) for kind in KINDS},
        "moved_ms": {kind: moved_ms(late["alone"], late[kind]) for kind in KINDS[1:]},
        "edge_scheduling": scheduling,
        "witness": {
            "is_realtime": seen.is_realtime,
            "longest_hole_ms": round(seen.longest_s() * 1000, 2),
            "gone_ms_per_s": round(seen.total_s() * 1000 / max(1e-9, MonotonicClock().now() - loop_start), 2),
            "steal_s": round(steal_s() - stolen_s, 2),
        },
        "rounds": rounds,
        "legs": legs,
    }


async def _windows(service: Running, http: aiohttp.ClientSession, *, rounds: int, legs: int) -> list[Window]:
    found = []
    clock = MonotonicClock()
    kinds: dict[str, Callable[[], Awaitable[int]]] = {
        "alone": lambda: _nobody(),
        "browsers": lambda: come_and_go(http, service.http_url, legs, WINDOW_S),
        "websockets": lambda: _streams_come_and_go(http, pcm_url(service), legs),
    }
    for turn in range(rounds):
        for at in range(len(KINDS)):  # each kind begins a round as often as the others
            kind = KINDS[(turn + at) % len(KINDS)]
            start = clock.now()
            calls = await kinds[kind]()
            found.append(Window(kind, start, clock.now(), calls))
            await asyncio.sleep(SETTLE_S)
    return found


async def _nobody() -> int:
    await asyncio.sleep(WINDOW_S)
    return 0


async def _streams_come_and_go(http: aiohttp.ClientSession, url: str, legs: int) -> int:
    loop = asyncio.get_running_loop()
    until, calls = loop.time() + WINDOW_S - STREAM_S, 0
    while loop.time() < until:
        await asyncio.gather(*(_stream(http, url) for _ in range(legs)))
        calls += legs
    return calls


async def _stream(http: aiohttp.ClientSession, url: str) -> None:
    """One call of plain audio: a second of noise."""
    loop = asyncio.get_running_loop()
    noise = np.random.default_rng(1).integers(-4000, 4000, FRAME_BYTES // 2).astype("<i2").tobytes()
    async with http.ws_connect(url) as socket:
        await socket.receive(timeout=10.0)
        reading = asyncio.ensure_future(_read(socket))
        start = loop.time()
        for n in range(round(STREAM_S / 0.02)):
            await socket.send_bytes(noise)
            await asyncio.sleep(max(0.0, start + (n + 1) * 0.02 - loop.time()))
        await socket.send_json({"type": "end"})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reading, 5.0)


async def _read(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


async def _edge_scheduling(http: aiohttp.ClientSession, service: Running) -> str:
    async with http.get(f"{service.http_url}/healthz") as answer:
        return str((await answer.json())["edge"].get("scheduling", ""))


# --- figures ---


def split(track: PacketTrack, started_at: float, windows: Sequence[Window], seen: Evidence) -> dict[str, Late]:
    """Lateness of the packets in the windows of each kind. ``started_at``: monotonic time of the recording's 0."""
    packets = ordered(track)
    rhythm = packets.arrival_s - packets.timestamp / 8000.0
    late_s = rhythm - float(np.median(rhythm)) if len(rhythm) else rhythm
    at = packets.arrival_s + started_at
    ours_s = np.array([_ours(float(late), float(came), seen) for late, came in zip(late_s, at, strict=True)])
    found = {}
    for kind in KINDS:
        inside = np.zeros(len(at), np.bool_)
        for window in windows:
            if window.kind == kind:
                inside |= (at >= window.start) & (at <= window.end)
        found[kind] = Late(late_s[inside] * 1000.0, ours_s[inside] * 1000.0)
    return found


def _ours(late_s: float, came_at: float, seen: Evidence) -> float:
    """Lateness that is not the host's. A packet that is on time, or early, has none to explain."""
    if late_s <= 0.001:
        return late_s
    return max(0.0, late_s - seen.gone_s(came_at - late_s - 0.001, came_at))


def moved_ms(alone: Late, beside: Late) -> float | None:
    """By how much the latest packet beside others is later than the latest alone, the host's share left out."""
    if not len(alone.ours_ms) or not len(beside.ours_ms):
        return None
    return round(float(np.max(beside.ours_ms) - np.max(alone.ours_ms)), 2)


def spread(late: Late) -> dict[str, Any]:
    if not len(late.wire_ms):
        return {"packets": 0}
    wire = {f"p{name}": round(float(np.percentile(late.wire_ms, q)), 2) for name, q in PERCENTILES}
    return {
        "packets": len(late.wire_ms),
        "wire_ms": {**wire, "max": round(float(np.max(late.wire_ms)), 2)},
        "over_5_ms": int(np.sum(late.wire_ms > BAR_MS)),
        "ours_max_ms": round(float(np.max(late.ours_ms)), 2),
        "ours_over_5_ms": int(np.sum(late.ours_ms > BAR_MS)),
    }


PERCENTILES = (("50", 50.0), ("99", 99.0), ("999", 99.9))
