"""Settings and services of the SIP core: everything that it cannot know by itself. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from telephony.sip.actions import Output
from telephony.sip.layer import TransactionLayer
from telephony.sip.transaction import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class SipSettings:
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks that may signal to us; anything else is dropped in silence."""
    session_expires_s: int = 1800
    """Longest session interval that we answer with (RFC 4028)."""
    ask_session_timer: bool = False
    """Ask for a session timer in our own INVITEs."""
    max_half_open: int = 200
    """Inbound INVITEs that are not established yet; above it new ones get 503 before any state."""
    max_kept_options: int = 200
    """From this many requests (no INVITEs) that are kept for repetitions on, each for 32 s, OPTIONS is answered and
    forgotten."""
    max_kept_requests: int = 4000
    """From this many on every other request gets 503 before any state; a BYE or CANCEL of a call of ours never does."""
    retry_after_s: int = 5
    refer: Literal["refuse", "report"] = "refuse"
    """Inbound REFER inside a dialog: refused, or reported as ``ReferAsked`` (the simulated caller)."""
    refer_status: int = 603
    """603 or 405: how a REFER is refused."""
    ring_limit_s: float = 120.0
    """An INVITE of ours without a final answer is cancelled after that long."""
    transfer_wait_s: float = 30.0
    """How long we wait for the next NOTIFY before we hang up after an accepted REFER."""
    user_agent: str = "Crosstalk"
    user: str = "crosstalk"
    """User part of our Contact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What every call of an endpoint shares."""

    settings: SipSettings
    layer: TransactionLayer
    local: Callable[[str], Address]
    """Our advertised address towards a peer's IP."""
    token: Callable[[], str]
    """128 random bits as hex text: tags, branches, Call-IDs."""
    random: Callable[[], float]
    """0 ≤ x < 1, for back-off."""

    def emit(self, output: Output) -> None:
        self.layer.outputs.append(output)

    def contact(self, peer_ip: str) -> str:
        """Our Contact as one peer must see it."""
        host, port = self.local(peer_ip)
        host = f"[{host}]" if ":" in host else host
        return f"<sip:{self.settings.user}@{host}:{port}>"
