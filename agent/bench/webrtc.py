"""``crosstalk bench webrtc``: what a browser's leg costs against aiortc as it comes (docs/benchmarks.md).

The same callers (aiortc, Opus or PCMU, half of the time speaking) call the service and a process that answers with
plain ``RTCPeerConnection``s; both sides speak. CPU is the answering process's own, from ``/proc``, less what it takes
without calls. What browsers do to a telephone's packets: ``agent.bench.doors_neighbours``.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import aiohttp

from agent.bench.machine import machine_facts, process_cost
from agent.errors import AgentError

SETTLE_S = 2.0
IDLE_S = 3.0
BAR_LEGS = 40.0
"""Per core, Opus."""


class Running(Protocol):
    """A started service (``agent.app.Service``)."""

    @property
    def http_url(self) -> str: ...


StartService = Callable[[Mapping[str, object]], AbstractAsyncContextManager[Running]]


async def webrtc_bench(*, legs: int, seconds: float, start_service: StartService) -> dict[str, Any]:
    """All of it, about a minute. Raises ``AgentError`` without the extra ``webrtc``."""
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
        async with _stock() as (url, pid):
            stock = await _cost(http, url, pid, legs, seconds, codec="opus", tokens=False)
    return {
        "legs": legs,
        "seconds": seconds,
        "opus": ours,
        "pcmu": pcmu,
        "stock_aiortc": stock,
        "times_stock": round(ours["legs_per_core"] / stock["legs_per_core"], 2),
        "missed": missed(ours["legs_per_core"]),
        "machine": machine_facts(),
    }


def missed(legs_per_core: float) -> list[str]:
    """The bar in words, where it was not met."""
    return [] if legs_per_core >= BAR_LEGS else [f"opus: {legs_per_core:g} legs per core, at least {BAR_LEGS:g} wanted"]


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


# --- callers for other benches ---


async def come_and_go(http: aiohttp.ClientSession, url: str, legs: int, seconds: float) -> int:
    """``legs`` browsers at a time, a second each, for ``seconds``; how many there were."""
    loop = asyncio.get_running_loop()
    until, calls = loop.time() + seconds - 2.0, 0
    while loop.time() < until:
        async with _callers(http, url, legs, codec="opus", tokens=True):
            calls += legs
            await asyncio.sleep(1.0)
    return calls
