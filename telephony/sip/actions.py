"""What the SIP core hands to its shell: datagrams to send, facts about calls, and what was refused or dropped."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.events import TransferOutcome
from telephony.media import LegMedia
from telephony.sip.transaction import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmit:
    """Send ``data`` to ``destination`` now."""

    data: bytes
    destination: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A request was answered with a failure by the core itself (log event ``sip.refused``)."""

    source: Address
    method: str
    status: int
    rule: str
    """Slug of the broken rule."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Something was dropped in silence (log event ``sip.dropped``; log a sample, count all)."""

    source: Address
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """Base of the facts about one call; ``call`` is the core's own key."""

    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered(CallEvent):
    """Inbound only: a new INVITE, 100 sent. Answer with ``ring``, ``accept`` or ``refuse``."""

    from_uri: str
    to_uri: str
    source: Address
    call_id: str
    headers: tuple[tuple[str, str], ...]
    """``X-…`` headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed(CallEvent):
    """Outbound only: a provisional response above 100, with early media if it carried SDP."""

    status: int
    media: LegMedia | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Established(CallEvent):
    """Inbound: ACK seen. Outbound: 2xx seen and acknowledged. ``media`` is what was agreed."""

    media: LegMedia


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaChanged(CallEvent):
    """A new offer and answer inside the dialog, ours or the peer's."""

    media: LegMedia
    held: bool
    """The peer holds us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferFailed(CallEvent):
    """Our re-INVITE was refused; everything stays as it was."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoDigit(CallEvent):
    """One key by INFO (application/dtmf-relay)."""

    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferAsked(CallEvent):
    """The peer asks us to transfer it (202 sent, NOTIFY 100 sent). Answer with ``notify_refer``."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferNews(CallEvent):
    """How our REFER goes on (RFC 3515)."""

    outcome: TransferOutcome
    status: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(CallEvent):
    """The call is over; exactly once per call, nothing follows but ``ByeAnswered``."""

    by: str
    """``caller`` (the far end), ``us`` or ``network``."""
    status: int
    reason: str
    """Slug: ``bye cancel no_ack refused failed timeout session_expired transferred hangup gone dial_timeout``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByeAnswered(CallEvent):
    """The far end's answer to our BYE, or 408 when none came for 64*T1. Comes after ``Ended``."""

    status: int


Output = Transmit | Refused | Dropped | CallEvent
