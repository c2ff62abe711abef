"""What a leg tells its session. Frozen facts, one per thing that happened on the line."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Direction(StrEnum):
    """Who placed the call."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class TransferOutcome(StrEnum):
    """How far a blind transfer has come (RFC 3515 NOTIFY outcomes)."""

    ACCEPTED = "accepted"
    PROGRESS = "progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LegInfo:
    """What is known of a leg when it is offered."""

    leg_id: str
    """Ours, unique in this process."""
    transport: str
    """``sip``, or the name of the door (``pcm``, ``live``, ``twilio``, ``webrtc``)."""
    direction: Direction
    from_uri: str
    to_uri: str
    source: str
    """``ip:port`` that signalled."""
    signalling_id: str = ""
    """SIP Call-ID or the door's own id."""
    headers: tuple[tuple[str, str], ...] = field(default=())
    """Extra signalling headers (``X-…``) for the integrator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegEvent:
    """Base of all leg events."""

    leg_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LegRinging(LegEvent):
    """Outbound only: the far end rings (18x)."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LegAnswered(LegEvent):
    """Both directions are open (inbound: ACK seen; outbound: 2xx seen)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegHeld(LegEvent):
    """The far end put us on hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegResumed(LegEvent):
    """The far end took us off hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DtmfReceived(LegEvent):
    """One key, once (RFC 4733 §2.5)."""

    digit: str
    """One of ``0-9*#ABCD``."""
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAppended(LegEvent):
    """A client of a stream gives the agent a text."""

    channel: str
    """``commentary`` (to be said), ``thinking`` (to know), ``instructions`` (to follow)."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaTimeout(LegEvent):
    """No packet came for the configured time while the leg was not held."""

    silent_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaQuality(LegEvent):
    """Counters of the media path, about every 5 s and once at the end."""

    sent: int
    received: int
    lost: int
    late: int
    duplicate: int
    concealed: int
    jitter_ms: float
    delay_ms: float
    """Playout delay now."""
    rtt_ms: float | None
    foreign: int
    """Packets dropped because they came from somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferNotified(LegEvent):
    """News of a transfer that we asked for."""

    outcome: TransferOutcome
    status: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LegEnded(LegEvent):
    """The leg is over; nothing follows."""

    by: str
    """``caller`` (the far end), ``us``, ``network`` or ``edge``."""
    status: int
    """SIP status where one exists: 200 for BYE, 487 for CANCEL, 408 for no ACK, 0 otherwise."""
    reason: str
    """Slug: ``bye cancel no_ack media_timeout edge_lost refused hangup transferred …``."""
