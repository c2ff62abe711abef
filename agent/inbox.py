"""The inbox of one call: whatever happens to it, in the order in which it came.

Bounded. News of the leg and the seat waits where it is full (their own queues are bounded too); an order that finds
no place ends the call, because control is never dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.brain.protocol import Say, ToolResult
from agent.errors import SeatLost
from agent.events.names import EndReason
from agent.lifecycle import LifeInput
from agent.pool.messages import SeatEvent
from agent.ports import Decision, SeatLease
from telephony.events import LegEvent
from telephony.plane import Leg

LIMIT: Final = 1000


@dataclass(frozen=True, slots=True)
class Admitted:
    """The call is wanted and has a seat."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class Refused:
    """The call is not wanted, or there is no seat for it."""

    reason: EndReason
    status: int
    text: str
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class SeatGone:
    """The worker died."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The call has another seat."""


@dataclass(frozen=True, slots=True)
class Order:
    """From outside or a timer: ``hangup`` with its reason, ``time_up``, ``played_out``."""

    what: LifeInput
    reason: EndReason


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """From an operator."""

    target: str


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """It could not be asked for, or nobody told what became of it."""

    status: int
    reason: str


Item = (
    LegEvent
    | SeatEvent
    | ToolResult
    | Say
    | Admitted
    | Refused
    | SeatGone
    | Moved
    | Order
    | TransferOrder
    | TransferFailed
)


class Inbox:
    """One reader, many writers, all on one event loop."""

    def __init__(self, on_full: Callable[[], None]) -> None:
        """``on_full``: an item was lost, the call must end."""
        self._queue: asyncio.Queue[Item] = asyncio.Queue(LIMIT)
        self._on_full = on_full

    def put(self, item: Item) -> None:
        """At once, from anywhere."""
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self._on_full()

    async def get(self) -> Item:
        return await self._queue.get()

    async def follow_leg(self, leg: Leg) -> None:
        """Take in the leg's events until its end."""
        async for event in leg.events():
            await self._queue.put(event)

    async def follow_seat(self, seat: SeatLease) -> None:
        """Take in the seat's events until it is closed or lost."""
        try:
            async for event in seat.events():
                await self._queue.put(event)
        except SeatLost:
            await self._queue.put(SeatGone())
