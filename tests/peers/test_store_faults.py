"""Real processes and servers that are killed, stopped and started again under a store (operations.md 4.2, 4 to 7)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.store.interface import CallState
from agent.store.open import backing_store
from tests.peers.servers import Server
from tests.peers.store_child import opened
from tests.unit.agent.store.contract import end, event, names, record

pytestmark = pytest.mark.peer
ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server("redis", tmp_path, append_only=True)
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["sqlite", "redis", "valkey"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path}/calls.db"
        return
    server = Server(request.param, tmp_path)
    server.start()
    yield server.url
    server.kill()


def child(role: str, url: str, folder: Path, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.peers.store_child", role, url, str(folder), name]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def acknowledged(process: subprocess.Popen[bytes], *, lines: int) -> list[list[Any]]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(lines)]


def kill(process: subprocess.Popen[bytes]) -> list[list[Any]]:
    """``kill -9``; what it had said until then."""
    process.kill()
    rest, _ = process.communicate(timeout=10)
    return [json.loads(line) for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]


async def check(url: str, folder: Path, said: list[list[Any]]) -> int:
    """After a restart: every acknowledged event is there, in order, and each call ended once. Returns the reaped."""
    told: dict[str, list[Any]] = defaultdict(list)
    for call_id, what in said:
        told[call_id].append(what)
    store = opened(url, str(folder), "gw1")
    await store.open()
    for call_id, whats in told.items():
        events = await store.events_of(call_id)
        assert [one.seq for one in events] == list(range(1, len(events) + 1))
        kinds = [one.name for one in events]
        assert kinds.count("call.ended") == 1
        assert kinds[-1] == "call.ended"
        numbers = [one.data["n"] for one in events if "n" in one.data]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= sum(what != "ended" for what in whats)
        if "ended" in whats:
            assert events[-1].data == {"result": "success"}
    live = [one for one in await store.list_calls(limit=10_000) if one.state is not CallState.ENDED]
    assert live == []
    reaped = len(store.reaped_at_start)
    await store.close()
    return reaped


@pytest.mark.parametrize("lines", [5, 150])
async def test_a_killed_gateway_leaves_exactly_one_end_for_each_call(url: str, tmp_path: Path, lines: int) -> None:
    process = child("writer", url, tmp_path, "gw1")
    said = acknowledged(process, lines=lines) + kill(process)
    assert await check(url, tmp_path, said) >= 1
    assert await check(url, tmp_path, said) == 0


async def test_a_gateway_killed_while_the_store_is_away_loses_nothing(server: Server, tmp_path: Path) -> None:
    process = child("writer", server.url, tmp_path, "gw1")
    said = acknowledged(process, lines=50)
    server.kill()
    said += acknowledged(process, lines=200)
    said += kill(process)
    assert (tmp_path / "spill.jsonl").stat().st_size > 0
    server.start()
    assert await check(server.url, tmp_path, said) >= 1
    assert (tmp_path / "spill.jsonl").stat().st_size == 0
    assert await check(server.url, tmp_path, said) == 0


async def test_processes_that_fight_for_calls_get_each_one_once(url: str, tmp_path: Path) -> None:
    store: Any = backing_store(url)
    await store.open()
    for n in range(100):
        await store.create_call(record(f"orphan{n}", owner="gone"), [], lease_s=-60, now=time.time())
    fighters = [child("fighter", url, tmp_path, f"gw{n}") for n in range(4)]
    answers = []
    for process in fighters:
        out, _ = await asyncio.to_thread(process.communicate, timeout=60)
        answers.append(json.loads(out))
    won = [call_id for calls, _ in answers for call_id in calls]
    assert sorted(won) == sorted(f"c{n}" for n in range(100))
    for n, (calls, _) in enumerate(answers):
        for call_id in calls:
            assert (await store.get_call(call_id)).data == {"by": f"gw{n}"}
    late = 0
    for n in range(100):
        kinds = [one.name for one in await store.events_of(f"orphan{n}")]
        assert kinds.count("call.ended") == 1
        assert kinds[-1] == "call.ended"
        late += len(kinds) - 1
    assert late == sum(accepted for _, accepted in answers)
    await store.close()


async def test_redis_killed_and_started_again_under_live_calls_loses_nothing(server: Server, tmp_path: Path) -> None:
    store = opened(server.url, str(tmp_path), "gw1")
    await store.open()
    for n in range(5):
        await store.create_call(record(f"c{n}"), [event("call.started", n=0)], lease_s=10, now=time.time())
    await asyncio.gather(*(_talk(store, f"c{n}", range(1, 20)) for n in range(5)))
    talking = asyncio.gather(*(_talk(store, f"c{n}", range(20, 80)) for n in range(5)))
    await asyncio.sleep(0.02)
    server.kill()
    await talking
    assert store.is_away
    await store.create_call(record("c5"), [event("call.started", n=0)], lease_s=10, now=time.time())
    assert await end(store, "c0")
    await asyncio.to_thread(server.start)
    await _until_back(store)
    await _talk(store, "c1", range(80, 90))
    for n in range(5):
        numbers = [one.data["n"] for one in await store.events_of(f"c{n}") if "n" in one.data]
        assert numbers == list(range(90 if n == 1 else 80))
    assert names(await store.events_of("c0"))[-1] == (81, "call.ended")
    assert names(await store.events_of("c5")) == [(1, "call.started")]
    assert await store.renew_leases("gw1", [(f"c{n}", 1) for n in range(1, 6)], lease_s=10, now=time.time()) == []
    await store.close()


async def test_redis_that_came_back_empty_gets_the_live_calls_again(tmp_path: Path) -> None:
    server = Server("redis", tmp_path)
    server.start()
    store = opened(server.url, str(tmp_path), "gw1")
    try:
        await store.open()
        await store.create_call(record("c1"), [event("call.started")], lease_s=10, now=time.time())
        server.kill()
        await store.update_call("c1", 1, {"state": "active"}, [event()], now=time.time())
        await asyncio.to_thread(server.start)
        await _until_back(store)
        assert await end(store, "c1")
        assert names(await store.events_of("c1")) == [(2, "call.turn"), (3, "call.ended")]
    finally:
        await store.close()
        server.kill()


async def test_redis_standing_still_does_not_hold_the_loop(server: Server, tmp_path: Path) -> None:
    store = opened(server.url, str(tmp_path), "gw1")
    await store.open()
    await store.create_call(record("c1"), [], lease_s=10, now=time.time())
    gaps: list[float] = []
    beating = asyncio.ensure_future(_beat(gaps))
    server.stop()
    waited: list[float] = []
    for n in range(150):
        began = time.monotonic()
        await store.update_call("c1", 1, {}, [event(n=n)], now=time.time())
        waited.append(time.monotonic() - began)
        await asyncio.sleep(0.01)
    beating.cancel()
    server.resume()
    await _until_back(store)
    assert [one.data["n"] for one in await store.events_of("c1")] == list(range(150))
    await store.close()
    gaps.sort()
    assert gaps[int(0.99 * len(gaps))] < 0.02, "the loop stood still"  # the last per cent is other processes' time
    assert gaps[-1] < 0.2
    waited.sort()
    assert waited[-1] < 1.0
    assert waited[int(0.98 * len(waited))] < 0.1


async def _talk(store: Any, call_id: str, numbers: range) -> None:
    for n in numbers:
        await store.update_call(call_id, 1, {"data": {"n": n}}, [event(n=n)], now=time.time())


async def _beat(gaps: list[float]) -> None:
    last = time.monotonic()
    while True:
        await asyncio.sleep(0.002)
        now = time.monotonic()
        gaps.append(now - last)
        last = now


async def _until_back(store: Any) -> None:
    async with asyncio.timeout(10):
        while store.is_away:
            await asyncio.sleep(0.01)
