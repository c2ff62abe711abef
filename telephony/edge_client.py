"""The front's end of the control channel of an edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from telephony.control_client import ControlClient
from telephony.edge_messages import event_from_json, media_to_json, quality_from_json, seat_to_json
from telephony.events import LegEvent, MediaQuality
from telephony.media import LegMedia
from telephony.plane import SeatAddress


class EdgeClient(ControlClient):
    """Commands to one edge and news from it; see ``ControlClient`` for what they raise."""

    def __init__(
        self,
        *,
        on_event: Callable[[LegEvent], None] = lambda event: None,
        on_lost: Callable[[], None] = lambda: None,
        answer_timeout_s: float = 5.0,
    ) -> None:
        super().__init__(answer_timeout_s=answer_timeout_s)
        self.on_event = on_event
        """News of legs: keys, timeouts, quality, latching, a lost worker."""
        self.on_lost = on_lost

    def on_news(self, body: dict[str, Any]) -> None:
        for event in event_from_json(body):
            self.on_event(event)

    async def reserve(self, leg_id: str, port: int | None = None) -> int:
        """Bind an even RTP port (and RTCP on the next) for a leg, before its SDP is known; returns the port."""
        answer = await self.ask("reserve", leg_id, port=port)
        return int(answer["port"])

    async def open(self, leg_id: str, media: LegMedia, seat: SeatAddress | None = None) -> None:
        """Start the media of a reserved leg. Without a seat the peer gets silence."""
        await self.ask("open", leg_id, media=media_to_json(media), seat=None if seat is None else seat_to_json(seat))

    async def update(self, leg_id: str, media: LegMedia) -> None:
        """New SDP: hold, resume, new address. Own SSRC, sequence and timestamp go on; latching learns again."""
        await self.ask("update", leg_id, media=media_to_json(media))

    async def route(self, leg_id: str, seat: SeatAddress | None) -> None:
        """Exchange audio with another seat from the next tick on."""
        await self.ask("route", leg_id, seat=None if seat is None else seat_to_json(seat))

    async def send_dtmf(self, leg_id: str, digits: str) -> None:
        """Send keys by RFC 4733, one after the other; returns when they are queued."""
        await self.ask("send_dtmf", leg_id, digits=digits)

    async def close(self, leg_id: str) -> MediaQuality | None:
        """End the leg's media (RTCP BYE); its last counters, or ``None`` if it was never open."""
        answer = await self.ask("close", leg_id)
        quality = answer.get("quality")
        return None if quality is None else quality_from_json(leg_id, quality)
