"""A leg that is dialled: to its session it looks like one that was offered, and ``answer`` places the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

from telephony.errors import MediaError
from telephony.events import Direction, LegEvent, LegInfo
from telephony.plane import Leg, SeatAddress

DIAL_S = 10.0
"""For finding the host and a media port; ringing comes after it."""
CALL_ID_HEADER = "X-Crosstalk-Call-Id"
"""In our INVITE: the name that this call has in store, events and logs."""


class Door(Protocol):
    """A plane that can place calls."""

    @property
    def name(self) -> str: ...

    async def dial(
        self, target: str, *, seat: SeatAddress, caller: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> Leg:
        """Raises ``TelephonyError``."""
        ...


class NumberDoor(Door, Protocol):
    """A door that places calls to telephone numbers (``tel:+…``)."""

    @property
    def caller(self) -> str:
        """``tel:`` number that calls come from where the request names none; may be empty."""
        ...


class DialledLeg:
    """Implements ``telephony.plane.Leg``; its events begin with the dial."""

    def __init__(
        self,
        door: Door,
        *,
        call_id: str,
        target: str,
        caller: str = "",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._door = door
        self._headers = ((CALL_ID_HEADER, call_id), *headers)
        self._leg: Leg | None = None
        self._dialled = asyncio.Event()
        self._is_over = False
        self._info = LegInfo(
            leg_id=call_id,
            transport=door.name,
            direction=Direction.OUTBOUND,
            from_uri=caller,
            to_uri=target,
            source="",
        )

    @property
    def info(self) -> LegInfo:
        return self._info

    async def ring(self) -> None:
        """The far end rings, not we."""

    async def answer(self, seat: SeatAddress) -> None:
        """Dial, with the media towards ``seat``. Raises ``TelephonyError`` when no call could be placed."""
        try:
            async with asyncio.timeout(DIAL_S):
                self._leg = await self._door.dial(
                    self._info.to_uri, seat=seat, caller=self._info.from_uri, headers=self._headers
                )
        except TimeoutError:
            raise MediaError(f"no way to dial was found within {DIAL_S:.0f} s") from None
        finally:
            self._dialled.set()
        if self._is_over:
            await self._leg.hangup("cancelled")

    async def refuse(self, status: int, reason: str, *, retry_after_s: int | None = None) -> None:
        """Nobody is there to be refused: the call is just not placed."""
        self._end()

    async def reroute(self, seat: SeatAddress) -> None:
        if self._leg is not None:
            await self._leg.reroute(seat)

    async def hangup(self, reason: str) -> None:
        self._end()
        if self._leg is not None:
            await self._leg.hangup(reason)

    async def transfer(self, target: str) -> None:
        if self._leg is None:
            raise MediaError("the call is not placed yet")
        await self._leg.transfer(target)

    async def send_dtmf(self, digits: str) -> None:
        if self._leg is not None:
            await self._leg.send_dtmf(digits)

    def notify(self, at_ms: int, kind: str, data: dict[str, Any]) -> None:
        if self._leg is not None:
            self._leg.notify(at_ms, kind, data)

    async def events(self) -> AsyncIterator[LegEvent]:
        await self._dialled.wait()
        if self._leg is not None:
            async for event in self._leg.events():
                yield event

    def _end(self) -> None:
        self._is_over = True
        self._dialled.set()
