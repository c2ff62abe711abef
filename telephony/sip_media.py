"""Media of SIP legs: commands to the edge, one after the other for each leg, and what a lost edge means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from telephony.errors import TelephonyError
from telephony.events import LegEvent, MediaQuality
from telephony.media import LegMedia
from telephony.plane import SeatAddress
from telephony.sip_leg import SipLeg


class Edge(Protocol):
    """The part of ``telephony.edge_client.EdgeClient`` that a SIP door uses."""

    on_event: Callable[[LegEvent], None]

    async def reserve(self, leg_id: str, port: int | None = None) -> int: ...

    async def open(self, leg_id: str, media: LegMedia, seat: SeatAddress | None = None) -> None: ...

    async def update(self, leg_id: str, media: LegMedia) -> None: ...

    async def route(self, leg_id: str, seat: SeatAddress | None) -> None: ...

    async def send_dtmf(self, leg_id: str, digits: str) -> None: ...

    async def close(self, leg_id: str) -> MediaQuality | None: ...


class SipMedia:
    """Keeps the edge in step with what signalling agreed. ``leg.lane`` (a fair lock) keeps the order."""

    def __init__(self, edge: Edge, on_failed: Callable[[SipLeg, str, str], None]) -> None:
        self._edge = edge
        self._on_failed = on_failed
        """Called with a leg, a reason slug and the error when its media cannot go on."""
        self.edge_is_lost = False

    async def reserve(self, leg_id: str) -> int:
        """An RTP port; raises ``TelephonyError`` (``MediaError`` or ``TransportClosed``)."""
        return await self._edge.reserve(leg_id)

    async def open(self, leg: SipLeg, media: LegMedia) -> None:
        """Start an inbound leg before its 200; the caller holds ``leg.lane``. Raises ``TelephonyError``."""
        await self._edge.open(leg.info.leg_id, media, leg.seat)
        leg.media = media

    async def agree(self, leg: SipLeg, media: LegMedia) -> bool:
        """What was agreed now: opened the first time, changed afterwards. False when the leg had to end."""
        async with leg.lane:
            if leg.is_over or leg.port is None:
                return False
            known, leg.media = leg.media, media
            try:
                if known is None:
                    await self._edge.open(leg.info.leg_id, media, leg.seat)
                elif known != media:
                    await self._edge.update(leg.info.leg_id, media)
            except TelephonyError as error:
                if not self.edge_is_lost:  # a lost edge gets ``leg.media`` again when it is back
                    self._on_failed(leg, "media_error", str(error))
                    return False
        return True

    async def route(self, leg: SipLeg, seat: SeatAddress) -> None:
        """Another seat from now on; while the edge is away it is only kept for its return. Raises nothing."""
        leg.seat = seat
        async with leg.lane:
            if leg.media is None or leg.is_over or self.edge_is_lost:
                return
            try:
                await self._edge.route(leg.info.leg_id, seat)
            except TelephonyError as error:
                if not self.edge_is_lost:  # it was lost under our question: it gets ``leg.seat`` when it is back
                    self._on_failed(leg, "media_error", str(error))

    async def send_dtmf(self, leg: SipLeg, digits: str) -> None:
        await self._edge.send_dtmf(leg.info.leg_id, digits)

    async def restore(self, leg: SipLeg) -> None:
        """Open a live leg again on its old port, at an edge that has come back; where that fails, the leg ends."""
        async with leg.lane:
            if leg.port is None or leg.is_over:
                return
            try:
                await self._edge.reserve(leg.info.leg_id, port=leg.port)
                if leg.media is not None:
                    await self._edge.open(leg.info.leg_id, leg.media, leg.seat)
            except TelephonyError as error:
                if not self.edge_is_lost:  # lost once more (a dying edge can still take a connection): the next one
                    self._on_failed(leg, "edge_lost", str(error))

    async def close(self, leg: SipLeg) -> MediaQuality | None:
        """End the media; its last counters where there are any."""
        async with leg.lane:
            return await self.release(leg.info.leg_id) if leg.port is not None else None

    async def release(self, leg_id: str) -> MediaQuality | None:
        """Give a port back, leg or no leg."""
        try:
            return await self._edge.close(leg_id)
        except TelephonyError:
            return None  # a lost edge has closed it for us
