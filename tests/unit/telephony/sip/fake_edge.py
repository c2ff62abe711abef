"""An edge that keeps what it was told, and a plane around it."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any

from telephony.clock import MonotonicClock
from telephony.errors import MediaError
from telephony.events import LegEvent, MediaQuality
from telephony.media import LegMedia
from telephony.plane import SeatAddress
from telephony.sip.settings import SipSettings
from telephony.sip_plane import SipPlane

SEAT = SeatAddress(worker="worker.sock", row=0, seat=1)
_ports = itertools.count(30000, 2)


class FakeEdge:
    """The command set of ``EdgeClient`` without media."""

    def __init__(self) -> None:
        self.on_event: Callable[[LegEvent], None] = lambda event: None
        self.commands: list[tuple[Any, ...]] = []
        self.media: dict[str, LegMedia] = {}
        self.refuses: set[str] = set()
        self.on_refusal: Callable[[], None] = lambda: None

    def _note(self, command: str, *values: Any) -> None:
        self.commands.append((command, *values))
        if command in self.refuses:
            self.on_refusal()
            raise MediaError(f"no {command}")

    async def reserve(self, leg_id: str, port: int | None = None) -> int:
        port = port or next(_ports)
        self._note("reserve", leg_id, port)
        return port

    async def open(self, leg_id: str, media: LegMedia, seat: SeatAddress | None = None) -> None:
        self._note("open", leg_id, seat)
        self.media[leg_id] = media

    async def update(self, leg_id: str, media: LegMedia) -> None:
        self._note("update", leg_id)
        self.media[leg_id] = media

    async def route(self, leg_id: str, seat: SeatAddress | None) -> None:
        self._note("route", leg_id, seat)

    async def send_dtmf(self, leg_id: str, digits: str) -> None:
        self._note("send_dtmf", leg_id, digits)

    async def close(self, leg_id: str) -> MediaQuality | None:
        self._note("close", leg_id)
        self.media.pop(leg_id, None)
        return MediaQuality(
            leg_id=leg_id,
            sent=1,
            received=1,
            lost=0,
            late=0,
            duplicate=0,
            concealed=0,
            jitter_ms=0.0,
            delay_ms=40.0,
            rtt_ms=None,
            foreign=0,
        )


def plane(
    edge: FakeEdge | None = None,
    *,
    logged: list[tuple[str, dict[str, object]]] | None = None,
    advertised_address: str = "",
    watch: Callable[[str, int | None], None] = lambda method, status: None,
    **settings: Any,
) -> SipPlane:
    """A plane on a free loopback port."""
    tokens = random.Random()

    def log(event: str, **fields: object) -> None:
        if logged is not None:
            logged.append((event, fields))

    return SipPlane(
        edge=edge or FakeEdge(),
        clock=MonotonicClock(),
        token=lambda: f"{tokens.getrandbits(128):032x}",
        random=tokens.random,
        log=log,
        host="127.0.0.1",
        advertised_address=advertised_address,
        settings=SipSettings(**settings),
        watch=watch,
    )


async def collect(leg: Any, *, until: type[LegEvent], limit_s: float = 5.0) -> list[LegEvent]:
    """Events of a leg up to and with the first of that type."""
    seen: list[LegEvent] = []
    async with asyncio.timeout(limit_s):
        async for event in leg.events():
            seen.append(event)
            if isinstance(event, until):
                break
    return seen
