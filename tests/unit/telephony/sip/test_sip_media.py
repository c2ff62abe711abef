"""Media commands: what an edge that fails means for a leg."""

from __future__ import annotations

from typing import Any, cast

from telephony.events import Direction, LegInfo
from telephony.sip_leg import SipLeg
from telephony.sip_media import SipMedia
from tests.unit.telephony.sip.fake_edge import SEAT, FakeEdge


def leg() -> SipLeg:
    info = LegInfo(
        leg_id="l", transport="sip", direction=Direction.INBOUND, from_uri="", to_uri="", source="192.0.2.1:5060"
    )
    made = SipLeg(info, "sip-1", cast("Any", None))
    made.media = cast("Any", object())
    return made


async def test_seat_chosen_while_the_edge_dies_is_kept_for_its_return() -> None:
    edge, ended = FakeEdge(), []
    edge.refuses.add("route")
    media = SipMedia(edge, lambda *told: ended.append(told))
    moved = leg()
    media.edge_is_lost = True
    await media.route(moved, SEAT)
    assert (moved.seat, ended) == (SEAT, [])


async def test_leg_that_cannot_be_rerouted_ends_alone() -> None:
    edge, ended = FakeEdge(), []
    edge.refuses.add("route")
    media = SipMedia(edge, lambda leg, reason, error: ended.append(reason))
    await media.route(leg(), SEAT)
    assert ended == ["media_error"]
