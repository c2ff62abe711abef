"""MediaPlane and Leg: the one interface of telephony that ``agent`` sees."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from telephony.events import LegEvent, LegInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatAddress:
    """Where a leg's audio goes: one row of one worker, under one claim."""

    worker: str
    """Path of the worker's audio socket (UDS), or ``host:port``."""
    row: int
    seat: int
    """Number of the claim: audio of an older claim on the same row is dropped."""


class Leg(Protocol):
    """One media and signalling path of a call. All methods are idempotent after the end of the leg."""

    @property
    def info(self) -> LegInfo: ...

    async def ring(self) -> None:
        """Tell the caller that we ring (SIP 180)."""
        ...

    async def answer(self, seat: SeatAddress) -> None:
        """Open the media towards ``seat`` and accept the call. Raises ``MediaError`` if it cannot."""
        ...

    async def refuse(self, status: int, reason: str, *, retry_after_s: int | None = None) -> None:
        """Refuse an offered leg with a SIP status; other doors map it to their own words."""
        ...

    async def reroute(self, seat: SeatAddress) -> None:
        """Send the leg's audio to another seat from now on (a worker died or moves)."""
        ...

    async def hangup(self, reason: str) -> None:
        """End the leg (BYE, or CANCEL before an answer)."""
        ...

    async def transfer(self, target: str) -> None:
        """Blind transfer (REFER). Outcomes arrive as ``TransferNotified``."""
        ...

    async def send_dtmf(self, digits: str) -> None:
        """Send keys (RFC 4733), one after the other."""
        ...

    def notify(self, at_ms: int, kind: str, data: dict[str, Any]) -> None:
        """A live event of the session (an entry of its timeline) for a client that shows it; most legs ignore it."""
        ...

    def events(self) -> AsyncIterator[LegEvent]:
        """All events in order; ends after ``LegEnded``."""
        ...


OfferHandler = Callable[[Leg], Awaitable[None]]


class MediaPlane(Protocol):
    """A door through which calls come and go."""

    @property
    def name(self) -> str: ...

    async def start(self, on_offer: OfferHandler) -> None:
        """Open the door. ``on_offer`` runs once per offered leg, in a task that the plane owns."""
        ...

    async def dial(self, target: str, *, seat: SeatAddress, caller: str = "") -> Leg:
        """Place a call."""
        ...

    def drain(self) -> None:
        """Refuse new calls from now on (OPTIONS 503), keep the running ones."""
        ...

    async def stop(self) -> None:
        """Close the door and every leg that is left."""
        ...
