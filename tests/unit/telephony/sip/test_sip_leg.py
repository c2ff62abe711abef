"""A leg's queue of facts is bounded, and its end is never lost."""

from __future__ import annotations

from typing import Any, cast

from telephony.events import Direction, DtmfReceived, LegEnded, LegInfo, MediaQuality
from telephony.sip_leg import MAX_EVENTS, SipLeg


def leg() -> SipLeg:
    info = LegInfo(
        leg_id="l", transport="sip", direction=Direction.INBOUND, from_uri="", to_uri="", source="192.0.2.1:5060"
    )
    return SipLeg(info, "sip-1", cast("Any", None))


async def test_slow_session_loses_counters_but_never_keys_or_the_end() -> None:
    slow = leg()
    key = DtmfReceived(leg_id="l", digit="1", duration_ms=100)
    counters = MediaQuality(
        leg_id="l",
        sent=0,
        received=0,
        lost=0,
        late=0,
        duplicate=0,
        concealed=0,
        jitter_ms=0.0,
        delay_ms=0.0,
        rtt_ms=None,
        foreign=0,
    )
    assert all(slow.tell(key) for _ in range(MAX_EVENTS))
    assert slow.tell(counters)
    assert not slow.tell(key)  # the plane ends the leg
    ended = LegEnded(leg_id="l", by="us", status=200, reason="events_overrun")
    assert slow.tell(ended)
    assert slow.tell(key)
    seen = [event async for event in slow.events()]
    assert seen == [key] * MAX_EVENTS + [ended]
