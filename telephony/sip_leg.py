"""One SIP leg: the facts of its call for a session, and its commands to the plane."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Protocol

from telephony.events import LegEnded, LegEvent, LegInfo, MediaQuality
from telephony.media import LegMedia
from telephony.plane import SeatAddress

MAX_EVENTS = 256
"""Facts that may wait for a slow session; beyond it counters are dropped, and anything else ends the leg."""


class LegCommands(Protocol):
    """What a leg asks of its plane."""

    async def ring(self, leg: SipLeg) -> None: ...

    async def answer(self, leg: SipLeg, seat: SeatAddress) -> None: ...

    async def refuse(self, leg: SipLeg, status: int, reason: str, retry_after_s: int | None) -> None: ...

    async def reroute(self, leg: SipLeg, seat: SeatAddress) -> None: ...

    async def hangup(self, leg: SipLeg, reason: str) -> None: ...

    async def transfer(self, leg: SipLeg, target: str) -> None: ...

    async def send_dtmf(self, leg: SipLeg, digits: str) -> None: ...


class SipLeg:
    """Implements ``telephony.plane.Leg``. Owned by the loop of its plane; ``events`` has one reader."""

    def __init__(self, info: LegInfo, key: str, plane: LegCommands) -> None:
        self._info, self._plane = info, plane
        self.key = key
        """The call's key in the SIP core."""
        self.seat: SeatAddress | None = None
        self.port: int | None = None
        """RTP port at the edge, while there is one."""
        self.media: LegMedia | None = None
        """As the edge has it; ``None`` before it is open."""
        self.is_held = False
        self.got_rfc4733 = False
        self.forced_end: tuple[str, str] | None = None
        """``(by, reason)`` of an end that the core cannot know."""
        self.lane = asyncio.Lock()
        """Commands to the edge, one after the other and in order (the lock is fair)."""
        self._waiting: deque[LegEvent] = deque()
        self._ended: LegEnded | None = None
        self._changed = asyncio.Event()

    @property
    def info(self) -> LegInfo:
        return self._info

    @property
    def is_over(self) -> bool:
        return self._ended is not None

    async def ring(self) -> None:
        await self._plane.ring(self)

    async def answer(self, seat: SeatAddress) -> None:
        await self._plane.answer(self, seat)

    async def refuse(self, status: int, reason: str, *, retry_after_s: int | None = None) -> None:
        await self._plane.refuse(self, status, reason, retry_after_s)

    async def reroute(self, seat: SeatAddress) -> None:
        await self._plane.reroute(self, seat)

    async def hangup(self, reason: str) -> None:
        await self._plane.hangup(self, reason)

    async def transfer(self, target: str) -> None:
        await self._plane.transfer(self, target)

    async def send_dtmf(self, digits: str) -> None:
        await self._plane.send_dtmf(self, digits)

    def notify(self, at_ms: int, kind: str, data: dict[str, Any]) -> None:
        """Nobody on a telephone reads."""

    async def events(self) -> AsyncIterator[LegEvent]:
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._ended is not None:
                yield self._ended
                return
            self._changed.clear()
            await self._changed.wait()

    def tell(self, event: LegEvent) -> bool:
        """Queue a fact; false when the session is so far behind that the leg must end."""
        if self._ended is not None:
            return True
        if isinstance(event, LegEnded):
            self._ended = event  # has a place of its own: it is never lost
        elif len(self._waiting) >= MAX_EVENTS:
            return isinstance(event, MediaQuality)
        else:
            self._waiting.append(event)
        self._changed.set()
        return True
