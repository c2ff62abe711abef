"""``crosstalk bench webrtc``: what a browser's leg costs against aiortc as it comes, and what it does to a telephone's.

The same callers (aiortc, Opus or PCMU, half of the time speaking) call the service and a process that answers with
plain ``RTCPeerConnection``s; both sides speak. CPU is the answering process's own, from ``/proc``, less what it takes
without calls. Then callers come and go while a telephone's packets are timed by the kernel (docs/benchmarks.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import aiohttp
import numpy as np

from agent.bench.machine import machine_facts, process_cost
from agent.errors import AgentError
from agent.simulator.caller import run_call
from agent.simulator.media import MediaThread
from agent.simulator.recording import ordered
from agent.simulator.script import parse_script

SETTLE_S = 2.0
IDLE_S = 3.0
COME_AND_GO_S = 12.0
ROUNDS = 3
BAR_MS = 5.0
LISTEN = "steps:\n  - wait: {ms}\n  - hangup\n"


class Running(Protocol):
    """A started service (``agent.app.Service``)."""

    @property
    def http_url(self) -> str: ...

    @property
    def sip_uri(self) -> str: ...


StartService = Callable[[Mapping[str, object]], AbstractAsyncContextManager[Running]]


async def webrtc_bench(*, legs: int, seconds: float, start_service: StartService) -> dict[str, Any]:
    """All of it, about two minutes. Raises ``AgentError`` without the extra ``webrtc``."""
    try:
        import aioice.ice
    except ImportError:
        raise AgentError("the bench needs the extra 'webrtc'") from None
    known = aioice.ice.get_host_addresses
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]  # aiortc leaves loopback out
    try:
        return await _measured(legs, seconds, start_service)
    finally:
        aioice.ice.get_host_addresses = known


async def _measured(legs: int, seconds: float, start_service: StartService) -> dict[str, Any]:
    settings = {"engine.model": "talker", "webrtc.enabled": "on", "webrtc.hosts": ["127.0.0.1"]}
    async with aiohttp.ClientSession() as http:
        async with start_service(settings) as service:
            pid = await _door_pid(http, service)
            ours = await _cost(http, service.http_url, pid, legs, seconds, codec="opus", tokens=True)
            pcmu = await _cost(http, service.http_url, pid, legs, seconds, codec="PCMU", tokens=True)
            rtp = await _telephone(http, service, legs)
        async with _stock() as (url, pid):
            stock = await _cost(http, url, pid, legs, seconds, codec="opus", tokens=False)
    return {
        "legs": legs,
        "seconds": seconds,
        "opus": ours,
        "pcmu": pcmu,
        "stock_aiortc": stock,
        "times_stock": round(ours["legs_per_core"] / stock["legs_per_core"], 2),
        "telephone": rtp,
        "machine": machine_facts(),
    }


# --- cost ---


async def _cost(
    http: aiohttp.ClientSession, url: str, pid: int, legs: int, seconds: float, *, codec: str, tokens: bool
) -> dict[str, Any]:
    """CPU of process ``pid`` for each leg."""
    idle = await _cpu_share(pid, IDLE_S)
    async with _callers(http, url, legs, codec=codec, tokens=tokens) as callers:
        await asyncio.sleep(SETTLE_S)
        heard = sum(caller.frames for caller in callers)
        busy = await _cpu_share(pid, seconds)
        heard = sum(caller.frames for caller in callers) - heard
    each = max(busy - idle, 1e-6) / legs
    return {
        "cpu_percent_per_leg": round(100 * each, 3),
        "idle_percent": round(100 * idle, 2),
        "legs_per_core": round((1 - idle) / each, 1),
        "frames_heard_share": round(heard / (legs * seconds * 50), 3),
    }


async def _cpu_share(pid: int, seconds: float) -> float:
    """Share of one core that a process takes now."""
    loop = asyncio.get_running_loop()
    before, began = process_cost(pid), loop.time()
    await asyncio.sleep(seconds)
    after = process_cost(pid)
    if before is None or after is None:
        raise AgentError("the process under test is gone")
    return (after.cpu_s - before.cpu_s) / (loop.time() - began)


@contextlib.asynccontextmanager
async def _callers(
    http: aiohttp.ClientSession, url: str, legs: int, *, codec: str, tokens: bool
) -> AsyncIterator[list[Any]]:
    from agent.bench.webrtc_peers import PeerConnection

    callers: list[PeerConnection] = []
    try:
        for _ in range(legs):
            callers.append(caller := PeerConnection(codec))
            await _call(http, url, caller, tokens=tokens)
        yield callers
    finally:
        for caller in callers:
            await caller.close()


async def _call(http: aiohttp.ClientSession, url: str, caller: Any, *, tokens: bool) -> None:
    token = await _json(http.get(f"{url}/v1/webrtc/token")) if tokens else {}
    body = {"sdp": await caller.offer(), "token": token.get("token", "")}
    answer = await _json(http.post(f"{url}/v1/webrtc/offer", json=body))
    await caller.accept(answer["sdp"])


async def _json(asked: Any) -> dict[str, Any]:
    async with asked as answer:
        found: dict[str, Any] = await answer.json()
        if answer.status != 200:
            raise AgentError(f"the offer was refused: {found}")
        return found


async def _door_pid(http: aiohttp.ClientSession, service: Running) -> int:
    health = await _json(http.get(f"{service.http_url}/healthz"))
    return int(health["webrtc"]["pid"])


@contextlib.asynccontextmanager
async def _stock() -> AsyncIterator[tuple[str, int]]:
    """aiortc's own answering side; its URL and process."""
    code = "from agent.bench.webrtc_peers import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", code, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30.0):
            port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10.0)
        except TimeoutError:
            process.kill()
            await process.wait()


# --- a telephone beside it ---


async def _telephone(http: aiohttp.ClientSession, service: Running, legs: int) -> dict[str, Any]:
    """How late a telephone's packets come, without browsers and while browsers come and go, in turns.

    In turns, because a virtual machine that loses its processor for a moment does so with and without browsers.
    """
    alone, beside, calls = [], [], 0
    with MediaThread() as media:
        for _ in range(ROUNDS):
            alone.append(await _lateness_ms(service, media))
            async with asyncio.TaskGroup() as group:
                coming = group.create_task(come_and_go(http, service.http_url, legs, COME_AND_GO_S))
                beside.append(await _lateness_ms(service, media))
            calls += coming.result()
    return {
        "alone": _spread(np.concatenate(alone)),
        "beside": _spread(np.concatenate(beside)),
        "browser_calls": calls,
    }


async def _lateness_ms(service: Running, media: MediaThread) -> Any:
    script = parse_script(LISTEN.format(ms=round(COME_AND_GO_S * 1000)))
    result = await run_call(service.sip_uri, script, media=media)
    return ordered(result.track).lateness_s() * 1000.0


async def come_and_go(http: aiohttp.ClientSession, url: str, legs: int, seconds: float) -> int:
    """``legs`` browsers at a time, a second each, for ``seconds``; how many there were."""
    loop = asyncio.get_running_loop()
    until, calls = loop.time() + seconds - 2.0, 0
    while loop.time() < until:
        async with _callers(http, url, legs, codec="opus", tokens=True):
            calls += legs
            await asyncio.sleep(1.0)
    return calls


def _spread(late_ms: Any) -> dict[str, Any]:
    return {
        "packets": len(late_ms),
        "p50_ms": round(float(np.percentile(late_ms, 50)), 2),
        "p99_ms": round(float(np.percentile(late_ms, 99)), 2),
        "p999_ms": round(float(np.percentile(late_ms, 99.9)), 2),
        "max_ms": round(float(np.max(late_ms)), 2),
        "over_5_ms": int(np.sum(late_ms > BAR_MS)),
    }
