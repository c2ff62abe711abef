"""Calls go on while the store is away, and nothing of their lifecycle is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Fenced, StoreUnavailable
from agent.store.errors import StoreRefused
from agent.store.interface import CallState, TimelineEntry
from agent.store.journal import Journal
from agent.store.open import backing_store, open_store
from agent.store.resilient import ResilientStore
from agent.store.spool import Limits
from telephony.clock import MonotonicClock
from tests.unit.agent.store.contract import NOW, CallContract, OutboxContract, end, event, names, record
from tests.unit.agent.store.flaky import QUICK, FlakyStore, NoLog, SetClock, killed, resilient, until_back


@pytest.fixture
async def backing() -> AsyncIterator[FlakyStore]:
    backing = FlakyStore()
    yield backing
    backing.closes, backing.mode = True, "ok"
    await backing.close()


@pytest.fixture
async def store(backing: FlakyStore, tmp_path: Path) -> AsyncIterator[ResilientStore]:
    store = resilient(backing, tmp_path)
    await store.open()
    await store.set_endpoints({})
    yield store
    await store.close(timeout_s=0.2)


class TestResilientCalls(CallContract):
    """The contract holds through the wrapper."""


class TestResilientOutbox(OutboxContract):
    test_the_end_of_a_lost_call_is_delivered = None  # type: ignore[assignment]  # our live calls are never reaped


async def call_through_an_outage(store: ResilientStore, backing: FlakyStore, mode: str) -> None:
    await store.create_call(record("c1"), [event("call.started")], lease_s=10, now=NOW)
    backing.mode = mode
    await store.update_call("c1", 1, {"state": "active"}, [event(n=1)], now=NOW)
    assert await store.create_call(record("c2"), [event("call.started")], lease_s=10, now=NOW) == 1
    for n in range(2, 20):
        await store.update_call("c1", 1, {"data": {"n": n}}, [event(n=n)], now=NOW)
    await store.append_timeline("c2", [TimelineEntry(at_ms=1, kind="note", data={})])
    assert await end(store, "c2")
    assert not await end(store, "c2")


async def check_that_all_is_there(store: Any) -> None:
    events = await store.events_of("c1")
    assert [one.data.get("n") for one in events] == [None, *range(1, 20)]
    assert [one.seq for one in events] == list(range(1, 21))
    assert (await store.get_call("c1")).data == {"n": 19}
    assert names(await store.events_of("c2")) == [(1, "call.started"), (2, "call.ended")]


@pytest.mark.parametrize("mode", ["refuse", "hang", "lose"])
async def test_calls_go_on_and_everything_is_replayed_in_order(
    store: ResilientStore, backing: FlakyStore, mode: str
) -> None:
    await call_through_an_outage(store, backing, mode)
    assert store.is_away
    assert (await store.get_call("c1")).state is CallState.ACTIVE  # type: ignore[union-attr]
    assert [one.call_id for one in await store.list_calls()] == ["c1"]
    with pytest.raises(StoreUnavailable):
        await store.claim("w", limit=1, now=NOW, claim_s=30)
    backing.mode = "ok"
    await until_back(store)
    await check_that_all_is_there(store)
    assert store.backlog_bytes == 0
    assert len(await store.timeline("c2")) == 1


async def test_a_journal_is_replayed_after_a_kill_before_calls_are_reaped(
    store: ResilientStore, backing: FlakyStore, tmp_path: Path
) -> None:
    await call_through_an_outage(store, backing, "refuse")
    await killed(store)
    backing.mode = "ok"
    again = resilient(backing, tmp_path)
    await again.open()
    await check_that_all_is_there_but_ended(again)
    assert again.reaped_at_start == ["c1"]
    claimed = await again.claim("w", limit=9, now=NOW + 99, claim_s=30)
    assert sorted(one.event.call_id for one in claimed) == ["c1", "c2"]
    await again.close()
    third = resilient(backing, tmp_path)
    await third.open()
    assert third.reaped_at_start == []
    await third.close()


async def check_that_all_is_there_but_ended(store: Any) -> None:
    events = await store.events_of("c1")
    assert [one.name for one in events] == ["call.started", *["call.turn"] * 19, "call.ended"]
    assert events[-1].data == {"result": "server_error", "reason": "gateway_lost"}
    assert names(await store.events_of("c2")) == [(1, "call.started"), (2, "call.ended")]


async def test_a_kill_in_the_middle_of_the_replay_repeats_nothing(
    store: ResilientStore, backing: FlakyStore, tmp_path: Path
) -> None:
    await call_through_an_outage(store, backing, "refuse")
    await killed(store)
    spilled = (tmp_path / "spill.jsonl").read_bytes()
    backing.mode = "ok"
    for kept in (spilled, spilled):
        (tmp_path / "spill.jsonl").write_bytes(kept)
        again = resilient(backing, tmp_path)
        await again.open()
        await check_that_all_is_there_but_ended(again)
        await killed(again)


async def test_a_gateway_that_starts_while_the_store_is_away_takes_calls(
    store: ResilientStore, backing: FlakyStore, tmp_path: Path
) -> None:
    await store.create_call(record("old"), [], lease_s=10, now=NOW)
    await killed(store)
    backing.mode = "refuse"
    again = resilient(backing, tmp_path)
    await again.open()
    assert again.is_away
    await again.create_call(record("new"), [event("call.started")], lease_s=10, now=NOW)
    backing.mode = "ok"
    await until_back(again)
    assert names(await again.events_of("old")) == [(1, "call.ended")]
    assert names(await again.events_of("new")) == [(1, "call.started")]
    await again.close()


async def test_a_store_that_came_back_empty_gets_its_live_calls_again(
    store: ResilientStore, backing: FlakyStore
) -> None:
    await store.create_call(record("c1"), [event("call.started")], lease_s=10, now=NOW)
    await store.create_call(record("c2"), [event("call.started")], lease_s=10, now=NOW)
    await store.update_call("c1", 1, {"state": "active"}, [event(n=1)], now=NOW)
    await backing.wipe()
    await store.update_call("c1", 1, {}, [event(n=2)], now=NOW)
    assert await end(store, "c1")
    assert await store.renew_leases("gw1", [("c2", 1)], lease_s=10, now=NOW) == []
    await until_back(store)
    assert names(await store.events_of("c1")) == [(3, "call.turn"), (4, "call.ended")]
    assert (await backing.get_call("c2")) == record("c2", fence=1)


async def test_a_call_that_was_taken_meanwhile_is_told_lost_and_not_written(
    store: ResilientStore, backing: FlakyStore
) -> None:
    await store.create_call(record("c1"), [], lease_s=-60, now=NOW)
    backing.mode = "refuse"
    await store.update_call("c1", 1, {}, [event()], now=NOW)
    await backing.reap(now=NOW, grace_s=20, event_name="call.ended")  # by somebody who still sees the store
    backing.mode = "ok"
    await until_back(store)
    assert await store.renew_leases("gw1", [("c1", 1)], lease_s=10, now=NOW) == ["c1"]
    assert names(await store.events_of("c1")) == [(1, "call.ended")]
    assert store.dropped_writes == 1
    with pytest.raises(Fenced):
        await end(store, "c1")


async def test_leases_of_live_calls_are_renewed_before_anything_else(
    store: ResilientStore, backing: FlakyStore
) -> None:
    await store.create_call(record("c1"), [], lease_s=10, now=NOW)
    backing.mode = "refuse"
    assert await store.renew_leases("gw1", [("c1", 1)], lease_s=10, now=NOW) == []
    assert store.is_away
    await store.update_call("c1", 1, {}, [event()], now=NOW)
    backing.answered.clear()
    backing.mode = "ok"
    await until_back(store)
    assert backing.answered == ["renew", "apply"]


async def test_our_own_calls_are_never_reaped_by_us(store: ResilientStore) -> None:
    await store.create_call(record("c1"), [], lease_s=-60, now=NOW)
    assert await store.reap(now=NOW, grace_s=0.0, event_name="call.ended") == []
    assert await store.reap_owner("gw1", now=NOW, event_name="call.ended") == []


async def test_a_dead_gateways_calls_are_reaped_at_the_second_look(backing: FlakyStore, tmp_path: Path) -> None:
    clock = SetClock()
    store = resilient(backing, tmp_path, clock=clock)
    await store.open()
    clock.at += 100
    await backing.create_call(record("dead", owner="gw2"), [], lease_s=-60, now=NOW)
    await backing.create_call(record("alive", owner="gw3"), [], lease_s=-60, now=NOW)
    sweep = {"now": NOW, "grace_s": 20.0, "event_name": "call.ended"}
    assert await store.reap(**sweep) == []
    clock.at += 19
    assert await store.reap(**sweep) == []
    await backing.renew_leases("gw3", [("alive", 1)], lease_s=10, now=NOW)  # a clock had jumped; its owner lives
    clock.at += 1
    assert await store.reap(**sweep) == ["dead"]
    assert await store.reap(**sweep) == []
    await store.close()


async def test_after_an_outage_others_get_their_grace(backing: FlakyStore, tmp_path: Path) -> None:
    clock = SetClock()
    store = resilient(backing, tmp_path, clock=clock)
    await store.open()
    await backing.create_call(record("theirs", owner="gw2"), [], lease_s=-60, now=NOW)
    backing.mode = "refuse"
    await store.create_call(record("c1"), [], lease_s=10, now=NOW)
    sweep = {"now": NOW, "grace_s": 20.0, "event_name": "call.ended"}
    assert await store.reap(**sweep) == []
    backing.mode = "ok"
    await until_back(store)
    for wait_s, reaped in [(0, []), (19, []), (1, []), (20, ["theirs"])]:
        clock.at += wait_s
        assert await store.reap(**sweep) == reaped
    await store.close()


async def test_a_journal_that_cannot_be_written_leaves_writes_in_memory(
    store: ResilientStore, backing: FlakyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(lines: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._spool.journal, "append", full)
    await call_through_an_outage(store, backing, "refuse")
    assert store.backlog_writes > 0
    backing.mode = "ok"
    await until_back(store)
    await check_that_all_is_there(store)


async def test_under_pressure_the_timeline_goes_and_new_calls_are_refused_but_no_event_is_lost(
    backing: FlakyStore, tmp_path: Path
) -> None:
    limits = Limits(answer_s=0.05, retry_min_s=0.001, retry_max_s=0.002, timeline_bytes=500, journal_bytes=1000)
    store = resilient(backing, tmp_path, limits=limits)
    await store.open()
    await store.create_call(record("c1"), [], lease_s=10, now=NOW)
    backing.mode = "refuse"
    for n in range(20):
        await store.update_call("c1", 1, {}, [event(n=n)], now=NOW)
        await store.append_timeline("c1", [TimelineEntry(at_ms=n, kind="note", data={})])
    assert store.dropped_timeline >= 15
    with pytest.raises(StoreUnavailable, match="journal is full"):
        await store.create_call(record("c2"), [], lease_s=10, now=NOW)
    await end(store, "c1")
    backing.mode = "ok"
    await until_back(store)
    assert len(await store.events_of("c1")) == 21
    assert len(await store.timeline("c1")) == 20 - store.dropped_timeline
    await store.close()


async def test_a_caller_that_is_cancelled_does_not_take_its_write_back(
    store: ResilientStore, backing: FlakyStore
) -> None:
    await store.create_call(record("c1"), [], lease_s=10, now=NOW)
    backing.mode = "hang"
    task = asyncio.ensure_future(end(store, "c1"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    backing.mode = "ok"
    await until_back(store)
    assert names(await store.events_of("c1")) == [(1, "call.ended")]


async def test_what_json_cannot_hold_is_refused_before_it_is_queued(store: ResilientStore) -> None:
    await store.create_call(record("c1"), [], lease_s=10, now=NOW)
    with pytest.raises(ValueError, match="cannot be stored"):
        await store.update_call("c1", 1, {}, [event(x={(1, 2): 3})], now=NOW)
    await store.update_call("c1", 1, {}, [event()], now=NOW)
    assert len(await store.events_of("c1")) == 1


async def test_close_leaves_what_could_not_be_stored_in_the_journal(
    store: ResilientStore, backing: FlakyStore, tmp_path: Path
) -> None:
    await call_through_an_outage(store, backing, "refuse")
    await store.close()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.update_call("c1", 1, {}, [], now=NOW)
    backing.mode = "ok"
    again = resilient(backing, tmp_path)
    await again.open()
    await check_that_all_is_there_but_ended(again)
    await again.close()


def test_a_torn_line_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "spill.jsonl"
    journal = Journal(path)
    journal.open()
    journal.append(["one", "two"])
    journal.close()
    path.write_bytes(path.read_bytes()[:-2])
    journal.open()
    journal.append(["three"])
    assert journal.read(0, lines=2) == ([b"one", b"tw"], 7)
    assert journal.read(7, lines=2) == ([b"three"], 13)
    assert journal.size == 13
    journal.clear()
    assert journal.read(0, lines=2) == ([], 0)
    journal.close()


async def test_torn_lines_are_counted_and_the_rest_of_their_call_is_kept(backing: FlakyStore, tmp_path: Path) -> None:
    store = resilient(backing, tmp_path)
    await store.open()
    await call_through_an_outage(store, backing, "refuse")
    await killed(store)
    path = tmp_path / "spill.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = b'{"kind":"upd\n'
    path.write_bytes(b"".join(lines))
    backing.mode = "ok"
    again = resilient(backing, tmp_path)
    await again.open()
    events = await again.events_of("c1")
    assert [one.seq for one in events] == list(range(1, 21))
    assert events[-1].name == "call.ended"
    assert again.dropped_writes == 1
    await again.close()


async def test_a_store_is_picked_by_its_url(tmp_path: Path) -> None:
    store, outbox = open_store(
        f"sqlite:{tmp_path}/calls.db",
        spill=str(tmp_path / "spill.jsonl"),
        owner="gw1",
        endpoints={"all": ["*"]},
        wall=lambda: NOW,
        clock=MonotonicClock(),
        log=NoLog(),
        limits=QUICK,
    )
    await store.open()
    await store.create_call(record(), [event()], lease_s=10, now=NOW)
    assert await outbox.backlog() == 1
    await store.close()
    for url in ("postgres://x", "sqlite:", "calls.db"):
        with pytest.raises(StoreRefused, match=r"store\.url"):
            backing_store(url)


async def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "calls.db").write_text("no database at all, just text " * 100)
    store, _ = open_store(
        f"sqlite:{tmp_path}/calls.db",
        spill=str(tmp_path / "spill.jsonl"),
        owner="gw1",
        endpoints={},
        wall=lambda: NOW,
        clock=MonotonicClock(),
        log=NoLog(),
    )
    with pytest.raises(StoreRefused, match="not a database"):
        await store.open()


async def test_two_gateways_cannot_share_a_journal(store: ResilientStore, backing: FlakyStore, tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="another gateway uses this journal"):
        await resilient(backing, tmp_path).open()
