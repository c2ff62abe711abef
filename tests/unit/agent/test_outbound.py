"""Calls that we place: dialled, ringing, answered, or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from agent.brain.protocol import Say
from agent.events.names import EndReason
from agent.outbound import DialledLeg
from agent.pool.messages import SetHold
from agent.ports import Decision
from agent.session import Placed, Session
from agent.switchboard import Switchboard
from telephony.errors import MediaError
from telephony.events import LegEnded, LegRinging
from telephony.plane import SeatAddress
from tests.unit.agent import call_fakes as fakes
from tests.unit.agent.test_session import Rig

CALL = fakes.CALL


class Door:
    """Dials the rig's leg."""

    name = "sip"

    def __init__(self, leg: fakes.FakeLeg, *, fails: str = "") -> None:
        self.leg = leg
        self.fails = fails
        self.dialled: list[tuple[Any, ...]] = []

    async def dial(
        self, target: str, *, seat: SeatAddress, caller: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> Any:
        if self.fails:
            raise MediaError(self.fails)
        self.dialled.append((target, seat.row, caller, headers))
        return self.leg


class Outbound(Rig):
    def __init__(self, *, fails: str = "", ring_limit_s: float = 45.0, **decided: Any) -> None:
        super().__init__()
        self.door = Door(self.leg, fails=fails)
        self.watched: list[tuple[str, dict[str, Any]]] = []
        self.services = replace(
            self.services, watch=lambda call, tenant, kind, at_ms, data: self.watched.append((kind, data))
        )
        dialled = DialledLeg(self.door, call_id=CALL, target="sip:bob@127.0.0.1", caller="sip:us@127.0.0.1")
        placed = Placed(
            decision=Decision(**decided), tenant="acme", ring_limit_s=ring_limit_s, data={"variables": {"a": 1}}
        )
        self.session = Session(dialled, self.services, placed=placed)


@asynccontextmanager
async def placing(rig: Outbound) -> AsyncIterator[None]:
    task = asyncio.create_task(rig.session.run())
    await rig.settle()
    try:
        yield
    finally:
        if not task.done():
            rig.leg.emit(LegEnded(leg_id=CALL, by="caller", status=200, reason="bye"))
        await task


async def test_answered_call_speaks_first_and_ends_as_any_other() -> None:
    rig = Outbound()
    async with placing(rig):
        assert rig.door.dialled == [("sip:bob@127.0.0.1", 0, "sip:us@127.0.0.1", (("X-Crosstalk-Call-Id", CALL),))]
        rig.leg.emit(LegRinging(leg_id="other", status=180))
        await rig.answered()
        assert rig.said() == ["hello there"]
        assert rig.session.view["state"] == "active"
    assert rig.store.ended == [("success", "caller_hangup")]
    assert rig.store.record is not None
    record = rig.store.record
    assert (record.direction, record.tenant, record.to_uri) == ("outbound", "acme", "sip:bob@127.0.0.1")
    assert record.data == {"variables": {"a": 1}}
    assert rig.decisions.tools == []
    assert [entry.data for entry in rig.store.timeline if entry.kind == "leg"][:1] == [
        {"phase": "ringing", "status": 180}
    ]
    assert [data["state"] for kind, data in rig.watched if kind == "state"] == ["offered", "ringing", "active", "ended"]
    assert rig.watched[-1][0] == "call.ended"


async def test_ears_rest_while_it_rings() -> None:
    rig = Outbound()
    async with placing(rig):
        assert [message.held for message in rig.seat.of(SetHold)] == [True]
        await rig.answered()
        assert [message.held for message in rig.seat.of(SetHold)] == [True, False]


async def test_busy_far_end_is_a_failed_dial_with_its_status() -> None:
    rig = Outbound()
    async with placing(rig):
        rig.leg.emit(LegEnded(leg_id="other", by="caller", status=486, reason="failed"))
        await rig.settle()
    assert rig.store.ended == [("upstream_error", "dial_failed")]
    assert rig.store.events[-1].data["dial"] == {"status": 486, "reason": "failed"}
    assert rig.seat.closed


async def test_call_that_cannot_be_dialled_fails_with_the_reason() -> None:
    rig = Outbound(fails="no such host")
    async with placing(rig):
        await rig.settle()
    assert rig.store.ended == [("upstream_error", "dial_failed")]
    assert rig.store.events[-1].data["dial"] == {"status": 0, "reason": "no such host"}


async def test_far_end_that_rings_too_long_is_given_up() -> None:
    rig = Outbound(ring_limit_s=0.0)
    async with placing(rig):
        await rig.settle()
    assert rig.store.ended == [("upstream_error", "dial_failed")]
    assert rig.store.events[-1].data["dial"] == {"status": 408, "reason": "no_answer"}
    assert ("hangup", "dial_failed") in rig.leg.did


async def test_order_to_hang_up_cancels_the_dial() -> None:
    rig = Outbound()
    async with placing(rig):
        rig.session.order_hangup(EndReason.OPERATOR_HANGUP)
        await rig.settle()
    assert rig.store.ended == [("success", "operator_hangup")]


async def test_full_pool_dials_nobody() -> None:
    rig = Outbound()
    rig.pool.seats = []
    async with placing(rig):
        await rig.settle()
    assert rig.store.ended == [("server_error", "no_capacity")]
    assert rig.door.dialled == []


async def test_operator_speaks_transfers_and_is_refused_what_the_list_lacks() -> None:
    rig = Outbound()
    async with placing(rig):
        await rig.answered()
        rig.session.order_say("one moment please")
        await rig.settle()
        assert rig.said() == ["hello there", "one moment please"]
        assert rig.session.may_transfer("sip:people@127.0.0.1")
        assert not rig.session.may_transfer("tel:+1900")
        rig.session.order_transfer("sip:people@127.0.0.1")
        await rig.settle()
        assert ("transfer", "sip:people@127.0.0.1") in rig.leg.did


async def test_named_agent_answers_where_there_is_one() -> None:
    rig = Outbound(agent="sales")
    other = fakes.ListedConversation({}, [Say(text="sales speaking")])
    rig.session._services = replace(
        rig.services, brain_of=lambda name: fakes.FakeBrain(other) if name == "sales" else None
    )
    async with placing(rig):
        await rig.answered()
        assert rig.said() == ["sales speaking"]
    assert rig.store.record is not None
    assert rig.store.record.agent == "sales"


async def test_placed_call_is_among_the_live_ones_until_it_ends() -> None:
    rig = Outbound()
    switchboard = Switchboard(rig.services)
    dialled = DialledLeg(rig.door, call_id=CALL, target="sip:bob@127.0.0.1")
    async with asyncio.TaskGroup() as group:
        session = switchboard.place(dialled, Placed(decision=Decision()), spawn=group.create_task)
        assert switchboard.find(CALL) is session
        await rig.answered()
        rig.leg.emit(LegEnded(leg_id=CALL, by="caller", status=200, reason="bye"))
    assert switchboard.find(CALL) is None
