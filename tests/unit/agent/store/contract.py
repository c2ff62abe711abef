"""What every store must do. A test module gives a fixture ``store`` (open, empty); leases on its own clock are made
to lie in the past by a negative length, so that no test waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.errors import Fenced
from agent.store.interface import CallRecord, CallState, Event, TimelineEntry

NOW = 1_800_000_000.0


def record(call_id: str = "c1", *, owner: str = "gw1", created_at: float = NOW, **fields: Any) -> CallRecord:
    base: dict[str, Any] = {
        "call_id": call_id,
        "tenant": "t",
        "agent": "parcel",
        "transport": "sip",
        "direction": "inbound",
        "from_uri": "sip:anna@example.org",
        "to_uri": "sip:agent@example.org",
        "state": CallState.OFFERED,
        "owner": owner,
        "fence": 0,
        "created_at": created_at,
    }
    return CallRecord(**{**base, **fields})


def event(name: str = "call.turn", at: float = NOW, **data: Any) -> Event:
    return Event(name=name, at=at, data=data)


ENDED = event("call.ended", result="success")


async def end(store: Any, call_id: str = "c1", fence: int = 1) -> bool:
    ended: bool = await store.end_call(
        call_id, fence, result="success", reason="caller_hangup", data={"turns": 2}, event=ENDED, now=NOW + 9
    )
    return ended


def names(events: list[Any]) -> list[tuple[int, str]]:
    return [(one.seq, one.name) for one in events]


OK = {"at": NOW, "status": 200, "latency_ms": 5, "error": ""}
BAD = {"at": NOW, "status": 500, "latency_ms": 5, "error": "status 500"}


class CallContract:
    async def test_a_new_call_is_stored_with_its_first_events(self, store: Any) -> None:
        fence = await store.create_call(
            record(data={"a": [], "b": {}}), [event("call.started", x=1.5)], lease_s=10, now=NOW
        )
        found = await store.get_call("c1")
        assert fence == 1
        assert found == record(fence=1, data={"a": [], "b": {}})
        (stored,) = await store.events_of("c1")
        assert (stored.seq, stored.name, stored.at, stored.data) == (1, "call.started", NOW, {"x": 1.5})
        assert await store.get_call("nobody") is None

    async def test_a_call_is_created_once(self, store: Any) -> None:
        await store.create_call(record(), [], lease_s=10, now=NOW)
        with pytest.raises(Fenced):
            await store.create_call(record(owner="gw2"), [], lease_s=10, now=NOW)
        assert (await store.get_call("c1")).owner == "gw1"

    async def test_an_update_changes_fields_merges_data_and_appends_events(self, store: Any) -> None:
        await store.create_call(record(data={"keep": 1, "over": 1}), [], lease_s=10, now=NOW)
        changes = {"state": "active", "answered_at": NOW + 1, "data": {"over": 2, "new": [1, {"ü": None}]}}
        await store.update_call("c1", 1, changes, [event(text='häß \u2028 "q"'), event()], now=NOW + 1)
        found = await store.get_call("c1")
        assert found.state is CallState.ACTIVE
        assert found.answered_at == NOW + 1
        assert found.data == {"keep": 1, "over": 2, "new": [1, {"ü": None}]}
        events = await store.events_of("c1")
        assert [one.seq for one in events] == [1, 2]
        assert events[0].data == {"text": 'häß \u2028 "q"'}

    async def test_seq_is_gapless_and_event_ids_are_unique(self, store: Any) -> None:
        await store.create_call(record(), [event("call.started")], lease_s=10, now=NOW)
        await asyncio.gather(*(store.update_call("c1", 1, {}, [event(n=n)], now=NOW) for n in range(20)))
        events = await store.events_of("c1")
        assert [one.seq for one in events] == list(range(1, 22))
        assert len({one.event_id for one in events}) == 21

    async def test_a_wrong_fence_writes_nothing(self, store: Any) -> None:
        await store.create_call(record(), [], lease_s=10, now=NOW)
        for call_id, fence in [("c1", 2), ("c1", 0), ("nobody", 1)]:
            with pytest.raises(Fenced):
                await store.update_call(call_id, fence, {"state": "active"}, [event()], now=NOW)
            with pytest.raises(Fenced):
                await end(store, call_id, fence)
        assert await store.events_of("c1") == []
        assert (await store.get_call("c1")).state is CallState.OFFERED

    async def test_a_call_ends_once(self, store: Any) -> None:
        await store.create_call(record(), [], lease_s=10, now=NOW)
        assert await end(store)
        assert not await end(store)
        found = await store.get_call("c1")
        assert (found.state, found.result, found.reason) == (CallState.ENDED, "success", "caller_hangup")
        assert (found.ended_at, found.data) == (NOW + 9, {"turns": 2})
        assert names(await store.events_of("c1")) == [(1, "call.ended")]

    async def test_an_ended_call_takes_later_events_and_stays_ended(self, store: Any) -> None:
        await store.create_call(record(), [], lease_s=10, now=NOW)
        await end(store)
        await store.update_call("c1", 1, {"state": "active", "data": {"r": 1}}, [event("recording.ready")], now=NOW)
        found = await store.get_call("c1")
        assert found.state is CallState.ENDED
        assert found.data == {"turns": 2, "r": 1}
        assert names(await store.events_of("c1")) == [(1, "call.ended"), (2, "recording.ready")]

    async def test_an_update_cannot_end_a_call(self, store: Any) -> None:
        await store.create_call(record(), [], lease_s=10, now=NOW)
        for changes, events in [({"state": "ended"}, []), ({"owner": "x"}, []), ({}, [ENDED])]:
            with pytest.raises(ValueError, match=r"update_call|call\.ended"):
                await store.update_call("c1", 1, changes, events, now=NOW)

    async def test_text_that_utf8_cannot_hold_is_stored_mended(self, store: Any) -> None:
        await store.create_call(record(from_uri="sip:\udcff@x"), [event(text="\udcff")], lease_s=10, now=NOW)
        assert (await store.get_call("c1")).from_uri == "sip:?@x"

    async def test_calls_are_listed_newest_first_and_paged(self, store: Any) -> None:
        for n in range(5):
            await store.create_call(record(f"c{n}", created_at=NOW + n), [], lease_s=10, now=NOW)
        await end(store, "c3")
        listed = await store.list_calls(limit=2)
        assert [one.call_id for one in listed] == ["c4", "c3"]
        assert [one.call_id for one in await store.list_calls(limit=9, before="c3")] == ["c2", "c1", "c0"]
        assert [one.call_id for one in await store.list_calls(state=CallState.ENDED)] == ["c3"]
        live = await store.list_calls(limit=3, state=CallState.OFFERED)
        assert [one.call_id for one in live] == ["c4", "c2", "c1"]
        assert await store.list_calls(before="nobody") == []

    async def test_the_timeline_keeps_its_order(self, store: Any) -> None:
        await store.create_call(record(), [], lease_s=10, now=NOW)
        first = [
            TimelineEntry(at_ms=20, kind="floor", data={"to": "AGENT"}),
            TimelineEntry(at_ms=40, kind="turn", data={}),
        ]
        await store.append_timeline("c1", first)
        await store.append_timeline("c1", [])
        await store.append_timeline("c1", [TimelineEntry(at_ms=30, kind="note", data={"l": []})])
        assert await store.timeline("c1") == [*first, TimelineEntry(at_ms=30, kind="note", data={"l": []})]
        await store.append_timeline("nobody", first)
        assert await store.timeline("nobody") == []


class LeaseContract:
    async def test_a_renewal_tells_which_calls_are_no_longer_ours(self, store: Any) -> None:
        await store.create_call(record("c1"), [], lease_s=10, now=NOW)
        await store.create_call(record("c2", owner="gw2"), [], lease_s=10, now=NOW)
        lost = await store.renew_leases("gw1", [("c1", 1), ("c2", 1), ("c3", 1), ("c1", 2)], lease_s=10, now=NOW)
        assert sorted(lost) == ["c1", "c2", "c3"]
        assert await store.renew_leases("gw1", [], lease_s=10, now=NOW) == []

    async def test_a_call_whose_owner_is_gone_is_ended_once_and_fenced(self, store: Any) -> None:
        await store.create_call(record("c1"), [event("call.started")], lease_s=-60, now=NOW)
        await store.create_call(record("c2"), [], lease_s=60, now=NOW)
        assert await store.reap(now=NOW, grace_s=20, event_name="call.ended") == ["c1"]
        assert await store.reap(now=NOW, grace_s=20, event_name="call.ended") == []
        found = await store.get_call("c1")
        assert (found.state, found.result, found.reason) == (CallState.ENDED, "server_error", "gateway_lost")
        assert found.ended_at == NOW
        assert names(await store.events_of("c1")) == [(1, "call.started"), (2, "call.ended")]
        last = (await store.events_of("c1"))[-1]
        assert last.data == {"result": "server_error", "reason": "gateway_lost"}
        with pytest.raises(Fenced):
            await end(store)
        with pytest.raises(Fenced):
            await store.update_call("c1", 1, {}, [event()], now=NOW)
        assert await store.renew_leases("gw1", [("c1", 1), ("c2", 1)], lease_s=10, now=NOW) == ["c1"]

    async def test_a_lease_within_its_grace_is_not_reaped(self, store: Any) -> None:
        await store.create_call(record("c1"), [], lease_s=-10, now=NOW)
        assert await store.reap(now=NOW, grace_s=20, event_name="call.ended") == []

    async def test_a_renewed_call_is_not_reaped(self, store: Any) -> None:
        await store.create_call(record("c1"), [], lease_s=-60, now=NOW)
        assert await store.renew_leases("gw1", [("c1", 1)], lease_s=60, now=NOW) == []
        assert await store.reap(now=NOW, grace_s=0, event_name="call.ended") == []

    async def test_a_renewal_with_an_old_fence_does_not_keep_a_call(self, store: Any) -> None:
        await store.create_call(record("c1"), [], lease_s=-60, now=NOW)
        assert await store.renew_leases("gw1", [("c1", 2)], lease_s=1000, now=NOW) == ["c1"]
        assert await store.reap(now=NOW, grace_s=20, event_name="call.ended") == ["c1"]

    async def test_a_refused_create_does_not_keep_a_call(self, store: Any) -> None:
        await store.create_call(record("c1"), [], lease_s=-60, now=NOW)
        with pytest.raises(Fenced):
            await store.create_call(record("c1", owner="gw2"), [], lease_s=1000, now=NOW)
        assert await store.reap(now=NOW, grace_s=20, event_name="call.ended") == ["c1"]

    async def test_a_skipped_owner_is_not_reaped(self, store: Any) -> None:
        await store.create_call(record("c1", owner="gw1"), [], lease_s=-60, now=NOW)
        await store.create_call(record("c2", owner="gw2"), [], lease_s=-60, now=NOW)
        assert await store.reap(now=NOW, grace_s=1, event_name="call.ended", skip_owners=["gw1"]) == ["c2"]

    async def test_calls_whose_lease_is_over_are_told_before_they_are_reaped(self, store: Any) -> None:
        await store.create_call(record("c1"), [], lease_s=-60, now=NOW)
        await store.create_call(record("c2", owner="gw2"), [], lease_s=-60, now=NOW)
        await store.create_call(record("c3"), [], lease_s=60, now=NOW)
        await store.create_call(record("c4"), [], lease_s=-60, now=NOW)
        assert sorted(await store.expired(now=NOW)) == ["c1", "c2", "c4"]
        assert await store.expired(now=NOW, skip_owners=["gw1", "x"]) == ["c2"]
        assert await store.reap(now=NOW, grace_s=20, event_name="call.ended", only={"c4", "c3"}) == ["c4"]
        assert sorted(await store.expired(now=NOW)) == ["c1", "c2"]

    async def test_a_restarted_owner_ends_its_former_calls(self, store: Any) -> None:
        await store.create_call(record("c1"), [], lease_s=60, now=NOW)
        await store.create_call(record("c2", owner="gw2"), [], lease_s=60, now=NOW)
        await store.create_call(record("c3"), [], lease_s=60, now=NOW)
        await store.create_call(record("c4"), [], lease_s=60, now=NOW)
        await end(store, "c3")
        reaped = await store.reap_owner("gw1", now=NOW, event_name="call.ended", keep=["c4"])
        assert reaped == ["c1"]
        assert await store.reap_owner("gw1", now=NOW, event_name="call.ended", keep=["c4"]) == []
        assert names(await store.events_of("c3")) == [(1, "call.ended")]
        assert (await store.get_call("c4")).state is CallState.OFFERED


class OutboxContract:
    async def claim(self, store: Any, now: float = NOW, **options: Any) -> list[Any]:
        found: list[Any] = await store.claim("w", limit=options.pop("limit", 10), now=now, claim_s=30, **options)
        return found

    async def test_an_event_goes_to_each_endpoint_that_wants_it(self, store: Any) -> None:
        await store.set_endpoints({"all": ["*"], "ends": ["call.ended"]})
        await store.create_call(record(), [event("call.started", a=1)], lease_s=10, now=NOW)
        await end(store)
        assert await store.backlog() == 3
        claimed = await self.claim(store, NOW + 10)
        assert sorted((one.endpoint, one.event.name, one.attempt) for one in claimed) == [
            ("all", "call.started", 0),
            ("ends", "call.ended", 0),
        ]
        assert next(one for one in claimed if one.endpoint == "all").event == (await store.events_of("c1"))[0]

    async def test_events_before_the_endpoints_are_not_delivered(self, store: Any) -> None:
        await store.create_call(record(), [event("call.started")], lease_s=10, now=NOW)
        await store.set_endpoints({"all": ["*"]})
        assert await self.claim(store) == []
        assert await store.backlog() == 0

    async def test_events_of_a_call_go_one_after_the_other(self, store: Any) -> None:
        await store.set_endpoints({"all": ["*"]})
        await store.create_call(record(), [event(n=1), event(n=2)], lease_s=10, now=NOW)
        (first,) = await self.claim(store)
        assert first.event.seq == 1
        assert await self.claim(store, NOW + 1) == []
        await store.delivered(first.delivery_id, attempt=OK, now=NOW + 1)
        (second,) = await self.claim(store, NOW + 1)
        assert second.event.seq == 2
        await store.delivered(second.delivery_id, attempt=OK, now=NOW + 1)
        assert await store.backlog() == 0
        assert await self.claim(store, NOW + 99) == []
        await store.update_call("c1", 1, {}, [event(n=3)], now=NOW + 99)
        (third,) = await self.claim(store, NOW + 99)
        assert third.event.seq == 3

    async def test_a_claim_that_is_never_settled_comes_again(self, store: Any) -> None:
        await store.set_endpoints({"all": ["*"]})
        await store.create_call(record(), [event()], lease_s=10, now=NOW)
        (first,) = await self.claim(store)
        assert await self.claim(store, NOW + 29) == []
        (again,) = await self.claim(store, NOW + 31)
        assert again.delivery_id == first.delivery_id
        assert again.event.event_id == first.event.event_id

    async def test_a_failed_delivery_comes_again_when_due(self, store: Any) -> None:
        await store.set_endpoints({"all": ["*"]})
        await store.create_call(record(), [event(n=1), event(n=2)], lease_s=10, now=NOW)
        (first,) = await self.claim(store)
        await store.failed(first.delivery_id, attempt=BAD, retry_at=NOW + 5, now=NOW)
        assert await self.claim(store, NOW + 4) == []
        (again,) = await self.claim(store, NOW + 5)
        assert (again.event.seq, again.attempt, again.due_at) == (1, 1, NOW + 5)

    async def test_a_stuck_delivery_blocks_its_call_for_a_minute_only(self, store: Any) -> None:
        await store.set_endpoints({"all": ["*"]})
        await store.create_call(record(), [event(n=1), event(n=2), event(n=3)], lease_s=10, now=NOW)
        (first,) = await self.claim(store)
        await store.failed(first.delivery_id, attempt=BAD, retry_at=NOW + 300, now=NOW)
        assert await self.claim(store, NOW + 59) == []
        (second,) = await self.claim(store, NOW + 61)
        assert second.event.seq == 2
        assert await self.claim(store, NOW + 62) == []
        await store.delivered(second.delivery_id, attempt=OK, now=NOW + 62)
        (third,) = await self.claim(store, NOW + 62)
        assert third.event.seq == 3
        await store.delivered(third.delivery_id, attempt=OK, now=NOW + 63)
        (back,) = await self.claim(store, NOW + 300)
        assert (back.event.seq, back.attempt) == (1, 1)

    async def test_a_dead_letter_is_not_tried_again_and_blocks_nothing(self, store: Any) -> None:
        await store.set_endpoints({"all": ["*"]})
        await store.create_call(record(), [event(n=1), event(n=2)], lease_s=10, now=NOW)
        (first,) = await self.claim(store)
        await store.failed(first.delivery_id, attempt=BAD, retry_at=None, now=NOW)
        (second,) = await self.claim(store)
        assert second.event.seq == 2
        assert await store.backlog() == 1

    async def test_calls_do_not_wait_for_one_another(self, store: Any) -> None:
        await store.set_endpoints({"all": ["*"]})
        for n in range(4):
            await store.create_call(record(f"c{n}"), [event(n=1), event(n=2)], lease_s=10, now=NOW)
        claimed = await self.claim(store)
        assert sorted((one.event.call_id, one.event.seq) for one in claimed) == [(f"c{n}", 1) for n in range(4)]

    async def test_a_claim_is_limited_and_may_ask_for_one_endpoint(self, store: Any) -> None:
        await store.set_endpoints({"a": ["*"], "b": ["*"]})
        for n in range(4):
            await store.create_call(record(f"c{n}"), [event()], lease_s=10, now=NOW)
        assert [one.endpoint for one in await self.claim(store, endpoint="b", limit=3)] == ["b"] * 3
        assert len(await self.claim(store, limit=9)) == 5

    async def test_two_workers_never_hold_the_same_delivery(self, store: Any) -> None:
        await store.set_endpoints({"a": ["*"]})
        for n in range(10):
            await store.create_call(record(f"c{n}"), [event()], lease_s=10, now=NOW)
        found = await asyncio.gather(*(self.claim(store, limit=4) for _ in range(5)))
        ids = [one.delivery_id for some in found for one in some]
        assert len(ids) == len(set(ids)) <= 10

    async def test_attempts_are_told_oldest_first(self, store: Any) -> None:
        await store.set_endpoints({"a": ["*"]})
        await store.create_call(record(), [event("call.started")], lease_s=10, now=NOW)
        (first,) = await self.claim(store)
        await store.failed(first.delivery_id, attempt=BAD, retry_at=NOW, now=NOW)
        await store.delivered(first.delivery_id, attempt=OK, now=NOW + 1)
        told = await store.attempts("c1")
        shared = {"endpoint": "a", "event_id": first.event.event_id, "name": "call.started"}
        assert told == [{**shared, **BAD}, {**shared, **OK}]

    async def test_the_end_of_a_lost_call_is_delivered(self, store: Any) -> None:
        await store.set_endpoints({"a": ["call.ended"]})
        await store.create_call(record(), [], lease_s=60, now=NOW)
        await store.reap_owner("gw1", now=NOW, event_name="call.ended")
        (claimed,) = await self.claim(store)
        assert claimed.event.name == "call.ended"


class StoreContract(CallContract, LeaseContract, OutboxContract):
    """Everything."""
