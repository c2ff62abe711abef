"""Two planes call each other over loopback: legs, events, commands to the edge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from telephony.errors import MediaError, RemoteProtocolError
from telephony.events import (
    DtmfReceived,
    LegAnswered,
    LegEnded,
    LegHeld,
    LegResumed,
    LegRinging,
    MediaQuality,
    TransferNotified,
    TransferOutcome,
)
from telephony.plane import Leg, SeatAddress
from telephony.sip_plane import SipPlane
from tests.unit.telephony.sip.fake_edge import SEAT, FakeEdge, collect, plane
from tests.unit.telephony.sip.wire import request


class Pair:
    """A caller plane, a callee plane, and the legs that the callee was offered."""

    def __init__(self, caller: SipPlane, callee: SipPlane, offered: asyncio.Queue[Leg]) -> None:
        self.caller, self.callee, self.offered = caller, callee, offered

    async def dial(self) -> Any:
        return await self.caller.dial(f"sip:agent@127.0.0.1:{self.callee.local_port}", seat=SEAT, caller="sip:a@b.c")


@asynccontextmanager
async def pair(*, caller: SipPlane | None = None, callee: SipPlane | None = None) -> AsyncIterator[Pair]:
    caller, callee = caller or plane(), callee or plane()
    offered: asyncio.Queue[Leg] = asyncio.Queue()
    await caller.start(offered.put)
    await callee.start(offered.put)
    try:
        yield Pair(caller, callee, offered)
    finally:
        await caller.stop()
        await callee.stop()


async def established(both: Pair) -> tuple[Any, Any]:
    outbound = await both.dial()
    inbound = await both.offered.get()
    await inbound.ring()
    await inbound.answer(SEAT)
    await collect(outbound, until=LegAnswered)
    await collect(inbound, until=LegAnswered)
    return outbound, inbound


async def test_call_rings_is_answered_and_ends_with_bye() -> None:
    edge = FakeEdge()
    async with pair(callee=plane(edge)) as both:
        outbound = await both.dial()
        inbound = await both.offered.get()
        await inbound.ring()
        await inbound.answer(SEAT)
        seen = await collect(outbound, until=LegAnswered)
        assert [type(event) for event in seen] == [LegRinging, LegAnswered]
        await outbound.hangup("done")
        seen = await collect(inbound, until=LegEnded)
        assert [type(event) for event in seen] == [LegAnswered, MediaQuality, LegEnded]
        assert seen[-1] == LegEnded(leg_id=inbound.info.leg_id, by="caller", status=200, reason="bye")
        assert [command[0] for command in edge.commands] == ["reserve", "open", "close"]
        assert inbound.info.from_uri == "sip:a@b.c"


async def test_requests_that_come_and_responses_that_go_are_counted() -> None:
    seen: list[tuple[str, int | None]] = []
    async with pair(callee=plane(watch=lambda method, status: seen.append((method, status)))) as both:
        outbound, inbound = await established(both)
        await outbound.hangup("done")
        await collect(inbound, until=LegEnded)
    assert set(seen) == {
        ("INVITE", None),
        ("INVITE", 100),
        ("INVITE", 180),
        ("INVITE", 200),
        ("ACK", None),
        ("BYE", None),
        ("BYE", 200),
    }


async def test_media_says_where_to_send() -> None:
    caller_edge, callee_edge = FakeEdge(), FakeEdge()
    async with pair(caller=plane(caller_edge), callee=plane(callee_edge)) as both:
        outbound, inbound = await established(both)
        ours, theirs = callee_edge.media[inbound.info.leg_id], caller_edge.media[outbound.info.leg_id]
        assert ours.remote == ("127.0.0.1", outbound.port)
        assert theirs.remote == ("127.0.0.1", inbound.port)
        assert ours.codec == theirs.codec == "PCMU"


async def test_refused_leg_tells_the_caller_why() -> None:
    async with pair() as both:
        outbound = await both.dial()
        inbound = await both.offered.get()
        await inbound.refuse(503, "no room\r\nX-Evil: 1", retry_after_s=5)
        seen = (await collect(outbound, until=LegEnded))[-1]
        assert isinstance(seen, LegEnded)
        assert (seen.by, seen.status, seen.reason) == ("caller", 503, "failed")
        last = (await collect(inbound, until=LegEnded))[-1]
        assert isinstance(last, LegEnded)
        assert (last.by, last.status, last.reason) == ("us", 503, "refused")


async def test_hangup_before_an_answer_cancels() -> None:
    async with pair() as both:
        outbound = await both.dial()
        inbound = await both.offered.get()
        await inbound.ring()
        await collect(outbound, until=LegRinging)
        await outbound.hangup("changed my mind")
        last = (await collect(inbound, until=LegEnded))[-1]
        assert isinstance(last, LegEnded)
        assert (last.by, last.status, last.reason) == ("caller", 487, "cancel")
        with pytest.raises(MediaError):
            await inbound.answer(SEAT)


async def test_hold_and_resume_reach_session_and_edge() -> None:
    edge = FakeEdge()
    async with pair(callee=plane(edge)) as both:
        outbound, inbound = await established(both)
        both.caller._sip.hold(outbound.key, both.caller._clock.now())
        both.caller._flush()
        await collect(inbound, until=LegHeld)
        assert not edge.media[inbound.info.leg_id].send
        both.caller._sip.resume(outbound.key, both.caller._clock.now())
        both.caller._flush()
        await collect(inbound, until=LegResumed)
        assert edge.media[inbound.info.leg_id].send


async def test_transfer_outcomes_arrive_and_the_leg_ends() -> None:
    async with pair(caller=plane(refer="report")) as both:
        outbound, inbound = await established(both)
        await inbound.transfer("sip:bob@127.0.0.1")
        await collect(inbound, until=TransferNotified)
        both.caller._sip.notify_refer(outbound.key, 200, "OK", both.caller._clock.now())
        both.caller._flush()
        seen = await collect(inbound, until=LegEnded)
        outcomes = [event.outcome for event in seen if isinstance(event, TransferNotified)]
        assert outcomes == [TransferOutcome.PROGRESS, TransferOutcome.SUCCEEDED]
        assert isinstance(seen[-1], LegEnded)
        assert seen[-1].reason == "transferred"


async def test_transfer_to_a_target_outside_the_list_is_refused() -> None:
    async with pair() as both:
        _, inbound = await established(both)
        with pytest.raises(MediaError):
            await inbound.transfer("tel:+19005550100")


async def test_edge_events_reach_their_leg_and_reroute_reaches_the_edge() -> None:
    edge = FakeEdge()
    async with pair(callee=plane(edge)) as both:
        _, inbound = await established(both)
        edge.on_event(DtmfReceived(leg_id=inbound.info.leg_id, digit="5", duration_ms=100))
        edge.on_event(DtmfReceived(leg_id="unknown", digit="6", duration_ms=100))
        seen = await collect(inbound, until=DtmfReceived)
        assert seen == [DtmfReceived(leg_id=inbound.info.leg_id, digit="5", duration_ms=100)]
        seat = SeatAddress(worker="other", row=3, seat=9)
        await inbound.reroute(seat)
        assert edge.commands[-1] == ("route", inbound.info.leg_id, seat)


async def test_restored_edge_gets_every_leg_back_on_its_port() -> None:
    edge = FakeEdge()
    async with pair(callee=plane(edge)) as both:
        _, inbound = await established(both)
        both.callee.edge_lost()
        edge.commands.clear()
        await both.callee.edge_restored()
        assert edge.commands == [
            ("reserve", inbound.info.leg_id, inbound.port),
            ("open", inbound.info.leg_id, SEAT),
        ]


async def test_leg_whose_port_is_gone_ends_as_edge_lost() -> None:
    edge = FakeEdge()
    async with pair(callee=plane(edge)) as both:
        _, inbound = await established(both)
        edge.refuses = {"reserve"}
        await both.callee.edge_restored()
        last = (await collect(inbound, until=LegEnded))[-1]
        assert isinstance(last, LegEnded)
        assert (last.by, last.reason) == ("edge", "edge_lost")


async def test_edge_that_is_lost_again_while_it_gets_its_legs_back_ends_none_of_them() -> None:
    """A dying edge took the front's new connection, and the call was given up half a millisecond later."""
    edge = FakeEdge()
    async with pair(callee=plane(edge)) as both:
        _, inbound = await established(both)
        both.callee.edge_lost()
        edge.refuses = {"reserve"}
        edge.on_refusal = both.callee.edge_lost
        await both.callee.edge_restored()
        edge.refuses, edge.on_refusal = set(), lambda: None
        edge.commands.clear()
        await both.callee.edge_restored()
        assert edge.commands == [
            ("reserve", inbound.info.leg_id, inbound.port),
            ("open", inbound.info.leg_id, SEAT),
        ]
        await inbound.reroute(SEAT)
        assert edge.commands[-1] == ("route", inbound.info.leg_id, SEAT)


async def test_edge_that_cannot_open_fails_the_answer_and_leaves_the_call_refusable() -> None:
    edge = FakeEdge()
    edge.refuses = {"open"}
    async with pair(callee=plane(edge)) as both:
        outbound = await both.dial()
        inbound = await both.offered.get()
        with pytest.raises(MediaError):
            await inbound.answer(SEAT)
        await inbound.refuse(503, "no media")
        last = (await collect(outbound, until=LegEnded))[-1]
        assert isinstance(last, LegEnded)
        assert last.status == 503


async def test_handler_that_fails_refuses_its_call_only() -> None:
    logged: list[tuple[str, dict[str, object]]] = []
    callee, caller = plane(logged=logged), plane()

    async def broken(leg: Leg) -> None:
        raise ValueError("boom")

    async def never(leg: Leg) -> None: ...

    await callee.start(broken)
    await caller.start(never)
    try:
        for _ in range(2):
            outbound = await caller.dial(f"sip:x@127.0.0.1:{callee.local_port}", seat=SEAT)
            last = (await collect(outbound, until=LegEnded))[-1]
            assert isinstance(last, LegEnded)
            assert last.status == 500
        assert [name for name, _ in logged].count("call.failed") == 2
    finally:
        await caller.stop()
        await callee.stop()


async def test_stop_ends_every_leg_with_bye() -> None:
    async with pair() as both:
        outbound, inbound = await established(both)
        await both.callee.stop()
        assert isinstance((await collect(outbound, until=LegEnded))[-1], LegEnded)
        last = (await collect(inbound, until=LegEnded))[-1]
        assert isinstance(last, LegEnded)
        assert (last.by, last.reason) == ("us", "shutdown")


async def test_draining_plane_refuses_new_calls() -> None:
    async with pair() as both:
        both.callee.drain()
        outbound = await both.dial()
        last = (await collect(outbound, until=LegEnded))[-1]
        assert isinstance(last, LegEnded)
        assert last.status == 503


async def test_foreign_network_gets_no_answer_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.sip_plane.STOP_S", 0.05)  # nobody will answer the caller's CANCEL
    logged: list[tuple[str, dict[str, object]]] = []
    async with pair(callee=plane(logged=logged, allow=("10.0.0.0/8",))) as both:
        dropped = asyncio.Event()
        receive = both.callee._sip.receive

        def watched(data: bytes, source: tuple[str, int], now: float) -> None:
            receive(data, source, now)
            dropped.set()

        both.callee._sip.receive = watched  # type: ignore[method-assign]
        outbound = await both.dial()
        await asyncio.wait_for(dropped.wait(), 5)
        await outbound.hangup("nobody there")
        assert both.callee.dropped["source-not-allowed"] >= 1
        assert [name for name, _ in logged] == ["sip.dropped"]


async def test_flood_of_refusals_is_one_line_and_counted_whole() -> None:
    logged: list[tuple[str, dict[str, object]]] = []
    callee = plane(logged=logged)
    async with pair(callee=callee):
        for number in range(50):
            callee._datagram(request("PUBLISH", cseq=number + 1), ("127.0.0.1", 5062))
        callee._datagram(request("REFER", cseq=60), ("127.0.0.1", 5062))
    assert (callee.refused["method-not-allowed"], callee.refused["refer-refused"]) == (50, 1)
    assert [(name, fields["rule"], fields["status"], fields["total"]) for name, fields in logged] == [
        ("sip.refused", "method-not-allowed", 405, 1),
        ("sip.refused", "refer-refused", 603, 1),
    ]


async def test_bad_dial_target_raises_before_anything_is_reserved() -> None:
    edge = FakeEdge()
    async with pair(caller=plane(edge)) as both:
        for target in ("tel:123", "sip:", "nonsense", "sip:a@h\r\nX: 1"):
            with pytest.raises(RemoteProtocolError):
                await both.caller.dial(target, seat=SEAT)
        assert edge.commands == []


@pytest.mark.parametrize(
    ("allow", "advertised", "doubtful"),
    [
        (("127.0.0.0/8", "10.0.0.0/8"), "", False),
        (("0.0.0.0/0",), "", True),
        (("54.172.60.0/30",), "10.1.2.3", True),
        (("54.172.60.0/30",), "0.0.0.0", True),
        (("54.172.60.0/30",), "203.0.112.7", False),
    ],
)
def test_self_check_names_an_address_that_public_peers_cannot_reach(
    allow: tuple[str, ...], advertised: str, doubtful: bool
) -> None:
    checked = plane(allow=allow, advertised_address=advertised)
    assert (checked.doubtful_address() is not None) is doubtful
