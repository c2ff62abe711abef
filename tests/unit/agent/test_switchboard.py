"""The switchboard: one session per offer, and a drain that waits, then ends."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from agent.scribe import Scribe
from agent.services import Services
from agent.switchboard import Switchboard
from telephony.events import LegAnswered, LegEnded
from tests.unit.agent import call_fakes as fakes
from tests.unit.agent.test_session import Rig


def board(rig: Rig) -> Switchboard:
    services: Services = rig.services
    return Switchboard(services)


async def answered(rig: Rig, switchboard: Switchboard) -> asyncio.Task[None]:
    task = asyncio.ensure_future(switchboard.offer(cast(Any, rig.leg)))
    await rig.settle()
    rig.leg.emit(LegAnswered(leg_id=fakes.CALL))
    await rig.settle()
    return task


async def test_live_call_is_known_until_it_ends() -> None:
    rig = Rig()
    switchboard = board(rig)
    task = await answered(rig, switchboard)
    assert [session.call_id for session in switchboard.live] == [fakes.CALL]
    rig.leg.emit(LegEnded(leg_id=fakes.CALL, by="caller", status=200, reason="bye"))
    await asyncio.wait_for(task, 5)
    assert switchboard.live == ()


async def test_offer_while_draining_gets_503() -> None:
    rig = Rig()
    switchboard = board(rig)
    assert await switchboard.drain(0.01) == 0
    await switchboard.offer(cast(Any, rig.leg))
    assert rig.leg.did == [("refuse", 503)]


async def test_drain_waits_for_a_call_that_ends_in_time() -> None:
    rig = Rig()
    switchboard = board(rig)
    task = await answered(rig, switchboard)
    draining = asyncio.ensure_future(switchboard.drain(5.0))
    await rig.settle()
    rig.leg.emit(LegEnded(leg_id=fakes.CALL, by="caller", status=200, reason="bye"))
    assert await asyncio.wait_for(draining, 5) == 0
    await task


async def test_drain_ends_a_call_that_goes_on_past_the_deadline() -> None:
    rig = Rig(opening=[])
    switchboard = board(rig)
    task = await answered(rig, switchboard)
    assert await asyncio.wait_for(switchboard.drain(0.01, grace_s=5.0), 6) == 1
    await task
    assert rig.store.ended == [("success", "drained")]


async def test_call_whose_lease_was_taken_hangs_up_and_writes_nothing() -> None:
    rig = Rig()
    switchboard = board(rig)
    task = await answered(rig, switchboard)
    switchboard.lost(fakes.CALL)
    await asyncio.wait_for(task, 5)
    assert ("hangup", "gateway_lost") in rig.leg.did
    assert rig.store.ended == []


async def test_scribe_keeps_order_and_ends_once() -> None:
    store = fakes.RecordingStore()
    scribe = Scribe(cast(Any, store), lease_s=1.0, wall=lambda: 1.0)
    scribe.call_id = "c"
    scribe.event("call.started")
    scribe.event("call.turn", turn=1)
    event = store.events and store.events[0]
    assert not event
    from agent.store.interface import Event

    end = Event(name="call.ended", at=2.0, data={})
    assert await scribe.finish(result="success", reason="caller_hangup", data={}, event=end)
    assert not await scribe.finish(result="success", reason="caller_hangup", data={}, event=end)
    assert store.names() == ["call.started", "call.turn", "call.ended"]
