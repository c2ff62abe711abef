"""Repetition of a 2xx until its ACK (RFC 3261 §13.3.1.4), the one duty that RFC 6026 leaves to the UAS core.

Table: RESENDING -ACK-> ACKED; RESENDING -T1, doubling to T2-> RESENDING (send again); RESENDING -64*T1-> GAVE_UP;
everything else stays. Pure: the caller owns socket and clock.
"""

from __future__ import annotations

from enum import Enum, auto

from telephony.sip.transaction import Address
from telephony.sip.transaction_tables import T1_S, T2_S


class ResendState(Enum):
    RESENDING = auto()
    ACKED = auto()
    GAVE_UP = auto()


class Ok200Resender:
    """One 2xx: ``data`` goes out at T1, then at doubling intervals up to T2, for 64*T1 in all."""

    def __init__(self, data: bytes, destination: Address, *, cseq: int, now: float) -> None:
        self.data, self.destination = data, destination
        self.cseq = cseq
        """Of the INVITE: the ACK carries the same (§13.2.2.4)."""
        self.state = ResendState.RESENDING
        self._interval_s = T1_S
        self._resend_at = now + T1_S
        self._give_up_at = now + 64 * T1_S

    def next_deadline(self) -> float | None:
        return min(self._resend_at, self._give_up_at) if self.state is ResendState.RESENDING else None

    def handle_timer(self, now: float) -> bool:
        """Return True when the 2xx must be sent again now."""
        if self.state is not ResendState.RESENDING:
            return False
        if now >= self._give_up_at:
            self.state = ResendState.GAVE_UP  # the call sends BYE
            return False
        if now < self._resend_at:
            return False
        self._interval_s = min(2 * self._interval_s, T2_S)
        self._resend_at = now + self._interval_s
        return True

    def receive_ack(self) -> None:
        if self.state is ResendState.RESENDING:
            self.state = ResendState.ACKED
