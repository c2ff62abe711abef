"""A whole service of real processes, a simulated caller on real SIP and RTP, and a process that dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import pytest

from agent.app import Service, start_service
from agent.simulator.caller import CallResult, run_call
from agent.simulator.media import MediaThread
from agent.simulator.script import parse_script

pytestmark = [pytest.mark.peer, pytest.mark.slow]

TALKER = {"engine.model": "talker", "agent.brain": "chatter", "voice.engine": "pico", "ears.recogniser": "none"}
"""An agent that talks without end: a gap in it is a gap of ours."""
SCRIPT = """
name: listen
max_s: 40
steps:
  - wait: 9000
  - hangup
"""


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with start_service(TALKER) as running:
        yield running


async def health(service: Service) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.get(service.http_url + "/healthz") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def calls(service: Service) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as http, http.get(service.http_url + "/v1/calls") as answer:
        return list((await answer.json())["calls"])


async def events(service: Service, call_id: str) -> list[str]:
    async with aiohttp.ClientSession() as http, http.get(f"{service.http_url}/v1/calls/{call_id}/events") as answer:
        return [event["name"] for event in (await answer.json())["events"]]


async def until(claim: Callable[[], Any], within_s: float = 20.0) -> Any:
    """Wait until an awaitable claim is true; its last value. Fails the test when it never is."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                if found := await claim():
                    return found
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


@asynccontextmanager
async def calling(service: Service) -> AsyncIterator[asyncio.Task[CallResult]]:
    """A caller that listens for 9 s, once its call is up; the test goes on 3 s later."""
    with MediaThread() as media:
        task = asyncio.ensure_future(run_call(service.sip_uri, parse_script(SCRIPT), media=media))

        async def is_up() -> bool:
            return (await health(service))["calls"] == 1

        await until(is_up)
        await asyncio.sleep(3.0)
        yield task
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


def pid_of(found: dict[str, Any], name: str) -> int:
    return next(int(process["pid"]) for process in found["processes"] if process["name"] == name)


def longest_silence_s(result: CallResult, *, after_s: float) -> float:
    """Longest stretch of digital silence in what the caller heard, from ``after_s`` on."""
    loud = np.abs(result.agent[int(after_s * 8000) :].astype(np.int32)) > 200
    longest = run = 0
    for heard in loud.reshape(-1)[: len(loud) // 80 * 80].reshape(-1, 80).any(axis=1):
        run = 0 if heard else run + 1
        longest = max(longest, run)
    return longest / 100


@pytest.mark.timed
async def test_worker_killed_in_a_call_is_a_moment_of_silence_not_a_hangup(service: Service) -> None:
    async with calling(service) as call:
        os.kill(pid_of(await health(service), "worker1"), signal.SIGKILL)
        result = await call
    assert result.length_s > 8.0
    assert longest_silence_s(result, after_s=2.0) < 1.0
    (record,) = await calls(service)
    assert (record["result"], record["reason"]) == ("success", "caller_hangup")
    assert record["data"]["reseated"] == 1


async def test_edge_killed_in_a_call_comes_back_on_the_same_ports(service: Service) -> None:
    async with calling(service) as call:
        os.kill(pid_of(await health(service), "edge"), signal.SIGKILL)
        result = await call
    assert result.length_s > 8.0
    assert longest_silence_s(result, after_s=2.0) < 3.0
    (record,) = await calls(service)
    assert record["reason"] == "caller_hangup"


async def test_front_killed_in_a_call_books_it_exactly_once(service: Service) -> None:
    async with calling(service) as call:
        front = pid_of(await health(service), "front")
        (record,) = await calls(service)
        os.kill(front, signal.SIGKILL)

        async def is_back() -> bool:
            found = await health(service)
            return found["status"] == "ready" and pid_of(found, "front") != front

        await until(is_back)
        call.cancel()
    (record,) = await calls(service)
    assert (record["result"], record["reason"]) == ("server_error", "gateway_lost")
    assert (await events(service, record["call_id"])).count("call.ended") == 1


async def test_whole_service_killed_books_its_calls_at_the_next_start(tmp_path: Any) -> None:
    database = {"store.url": f"sqlite:{tmp_path}/calls.db", "store.spill": f"{tmp_path}/spill.jsonl"}
    async with start_service({**TALKER, **database}) as first, calling(first) as call:
        (record,) = await calls(first)
        for process in (await health(first))["processes"]:
            os.kill(process["pid"], signal.SIGKILL)
        os.kill(first.pid, signal.SIGKILL)
        call.cancel()
    async with start_service({**TALKER, **database}) as second:
        (found,) = await calls(second)
        assert found["call_id"] == record["call_id"]
        assert found["reason"] == "gateway_lost"
        assert (await events(second, record["call_id"])).count("call.ended") == 1


async def test_drain_lets_a_running_call_finish(service: Service) -> None:
    async with calling(service) as call:
        os.kill(service.pid, signal.SIGTERM)
        await asyncio.sleep(0.2)
        result = await call
    assert result.answered
