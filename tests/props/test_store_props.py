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

WORK = st.lists(st.sampled_from(["new", "write", "write", "write", "end"]), min_size=1, max_size=6)
EPISODES = st.lists(
    st.tuples(WORK, st.sampled_from(["ok", "refuse", "lose"]), WORK, st.sampled_from(["back", "kill", "kill away"])),
    min_size=1,
    max_size=5,
)
"""Work, then what the store does, work under that, and how it goes on."""


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(episodes=EPISODES)
def test_whatever_fails_each_call_ends_once_and_no_event_is_lost_or_repeated(episodes: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(Walk(Path(folder)).run(episodes))


class Walk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.backing = FlakyStore()
        self.store = resilient(self.backing, folder)
        self.live: list[str] = []
        self.told: dict[str, list[int]] = {}
        self.number = 0

    async def run(self, episodes: list[Any]) -> None:
        await self.store.open()
        for before, mode, under, after in episodes:
            await self.work(before)
            self.backing.mode = mode
            await self.work(under)
            if after != "kill away":
                self.backing.mode = "ok"
            if after == "back":
                await until_back(self.store)
            else:
                await killed(self.store)
                self.live.clear()
                self.store = resilient(self.backing, self.folder)
                await self.store.open()
        self.backing.mode = "ok"
        await until_back(self.store)
        await self.work(["end"] * len(self.live))
        await self.check()
        await self.store.close()
        self.backing.closes = True
        await self.backing.close()

    async def work(self, steps: list[str]) -> None:
        for step in steps:
            self.number += 1
            if step == "new":
                call_id = f"c{self.number}"
                await self.store.create_call(record(call_id), [event("call.started", n=0)], lease_s=10, now=NOW)
                self.live.append(call_id)
                self.told[call_id] = [0]
            elif self.live and step == "write":
                call_id = self.live[self.number % len(self.live)]
                await self.store.update_call(call_id, 1, {}, [event(n=self.number)], now=NOW)
                self.told[call_id].append(self.number)
            elif self.live:
                assert await end(self.store, self.live.pop(self.number % len(self.live)))

    async def check(self) -> None:
        for call_id, numbers in self.told.items():
            events = await self.store.events_of(call_id)
            assert [one.seq for one in events] == list(range(1, len(events) + 1))
            assert [one.data["n"] for one in events if "n" in one.data] == numbers
            assert [one.name for one in events].count("call.ended") == 1
            assert events[-1].name == "call.ended"
