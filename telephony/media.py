"""What signalling tells an edge about a leg's media. The command set of ``telephony.edge_client``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class LegMedia:
    """Negotiated media of one leg (one audio stream of G.711 at 8 kHz)."""

    codec: Literal["PCMU", "PCMA"]
    payload_type: int
    """Of the codec, from the offer; also used for what we send."""
    dtmf_payload_type: int | None
    """Of telephone-event, or ``None`` where it was not negotiated."""
    remote: tuple[str, int] | None
    """Address of the peer's RTP as SDP says; ``None`` before an answer is known (nothing is sent)."""
    signalling_ip: str
    """Where the peer signals from: a second address that latching may learn (RFC 7362)."""
    ptime_ms: int = 20
    """Packet time that we send: a multiple of 20 up to 60; what we receive may differ."""
    send: bool = True
    """We may send (false while the peer holds us: ``recvonly`` or ``inactive``)."""
    receive: bool = True
    """The peer sends; timeouts rest while false."""
