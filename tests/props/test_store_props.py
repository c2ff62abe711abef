"""Random walks through the SQLite store and through outages of it."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.store.sqlite import SqliteStore
from tests.unit.agent.store.contract import NOW, end, event, record
from tests.unit.agent.store.flaky import FlakyStore, killed, resilient, until_back
from tests.unit.agent.store.machine import StoreMachine


class SqliteMachine(StoreMachine):
    async def make(self) -> Any:
        store = SqliteStore(":memory:", gather_s=0.0)
        await store.open()
        return store


TestSqliteWalk = SqliteMachine.TestCase
TestSqliteWalk.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)

STEPS = st.lists(
    st.sampled_from(["write", "write", "write", "new", "end", "ok", "refuse", "lose", "kill", "back"]),
    min_size=5,
    max_size=30,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_whatever_fails_each_call_ends_once_and_no_event_is_lost_or_repeated(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_walk(steps, Path(folder)))


async def _walk(steps: list[str], folder: Path) -> None:
    backing = FlakyStore()
    store = resilient(backing, folder)
    await store.open()
    live: list[str] = []
    told: dict[str, list[int]] = {}
    for number, step in enumerate(steps):
        if step == "new":
            call_id = f"c{number}"
            await store.create_call(record(call_id), [event("call.started", n=-1)], lease_s=10, now=NOW)
            live.append(call_id)
            told[call_id] = [-1]
        elif step == "write" and live:
            call_id = live[number % len(live)]
            await store.update_call(call_id, 1, {}, [event(n=number)], now=NOW)
            told[call_id].append(number)
        elif step == "end" and live:
            assert await end(store, live.pop(number % len(live)))
        elif step == "kill":
            await killed(store)
            live.clear()
            store = resilient(backing, folder)
            await store.open()
        elif step == "back":
            backing.mode = "ok"
            await until_back(store)
        elif step in ("ok", "refuse", "lose"):
            backing.mode = step
    backing.mode = "ok"
    await until_back(store)
    for call_id in live:
        assert await end(store, call_id)
    for call_id, numbers in told.items():
        events = await store.events_of(call_id)
        assert [one.seq for one in events] == list(range(1, len(events) + 1))
        assert [one.data["n"] for one in events if "n" in one.data] == numbers
        assert [one.name for one in events].count("call.ended") == 1
        assert events[-1].name == "call.ended"
    await store.close()
    backing.closes = True
    await backing.close()
