"""What a session needs of the world, as protocols: adapters live elsewhere and are picked by the front."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.pool.messages import SeatEvent, SeatMessage
from agent.scheduler.floor.profile import FloorProfile
from telephony.events import LegInfo, MediaQuality
from telephony.plane import SeatAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Answer to ``call.incoming``."""

    action: str = "accept"
    """``accept``, ``reject`` or ``busy``."""
    agent: str = ""
    variables: dict[str, Any] = field(default_factory=dict)
    record: bool | None = None
    fallback: bool = False
    """No usable answer came: this is the configured fallback."""


class Decisions(Protocol):
    """The customer's server."""

    async def incoming(self, call_id: str, leg: LegInfo) -> Decision:
        """Ask what to do with a call. Never raises; falls back as configured."""
        ...

    async def tool(self, call_id: str, name: str, arguments: dict[str, Any], request_id: str) -> Any:
        """A tool's result. Raises ``ToolFailed``."""
        ...


class SeatLease(Protocol):
    """A claimed row of a worker."""

    row: int
    call_id: str
    recording_truncated: bool
    recording_ready: bool
    """The file of the call's recording is there; known when ``close`` has returned."""

    @property
    def address(self) -> SeatAddress: ...

    def send(self, message: SeatMessage) -> None: ...

    def events(self) -> AsyncIterator[SeatEvent]:
        """Events in order. Raises ``SeatLost`` when the worker dies."""
        ...

    async def close(self) -> None: ...


class Pool(Protocol):
    """Where seats come from."""

    @property
    def transfer_targets(self) -> tuple[str, ...]: ...

    async def open_seat(self, call_id: str, profile: FloorProfile, record: str) -> SeatLease:
        """Raises ``AdmissionRefused``."""
        ...

    async def reseat(self, lost: SeatLease, profile: FloorProfile, record: str) -> SeatLease:
        """As ``open_seat``, for a call whose worker died: waits for a worker and may use the reserve."""
        ...


class Measures(Protocol):
    """Counters and histograms that a session feeds."""

    def answered(self, setup_s: float) -> None: ...

    def refused(self, reason: str) -> None: ...

    def ended(self, result: str, reason: str, duration_s: float) -> None: ...

    def turn(self, end: str) -> None: ...

    def overlap(self, verdict: str, stop_s: float | None) -> None:
        """``stop_s``: from the caller's onset until our voice was cut, where it was."""
        ...

    def responded(self, latency_s: float) -> None: ...

    def tool(self, ok: bool, took_s: float) -> None: ...

    def decision(self, fallback: bool, took_s: float) -> None: ...

    def quality(self, quality: MediaQuality) -> None: ...

    def not_written(self, kind: str, count: int) -> None:
        """What the store did not take: ``timeline`` or ``update``."""
        ...


class Watch(Protocol):
    """Told of a call's facts as they happen. Must not wait, must not raise."""

    def __call__(self, call_id: str, tenant: str, kind: str, at_ms: int, data: dict[str, Any], /) -> None:
        """``kind``: a timeline kind, ``state``, ``quality``, or a webhook event's name. ``at_ms``: media time."""
        ...


def watched_by_nobody(call_id: str, tenant: str, kind: str, at_ms: int, data: dict[str, Any], /) -> None:
    """The default ``Watch``."""
