"""Where a leg's peer really is: symmetric RTP (RFC 4961) with a narrow learning window (RFC 7362).

Only well-formed packets with a negotiated payload type are offered here, and only those whose source is not the
locked one, so this is plain code per leg. An attacker who sprays packets at our ports must forge the address of
the peer or of its signalling, and must do so in the first seconds.
"""

from __future__ import annotations

LEARN_S = 3.0
"""After each SDP exchange."""
SILENT_S = 1.0
"""A locked source that was silent for that long may move to another port of the same address."""

Address = tuple[str, int]


class Latch:
    """Policy of one leg."""

    def __init__(self, remote: Address | None, signalling_ip: str, now: float) -> None:
        self._remote = remote
        self._signalling_ip = signalling_ip
        self._learn_until = now + LEARN_S
        self.locked: Address | None = None

    def renew(self, remote: Address | None, signalling_ip: str, now: float) -> None:
        """A new SDP exchange: the lock stays while the address in SDP stays, and learning starts again."""
        if remote is not None and remote != self._remote:
            self.locked = None
        self._remote = remote if remote is not None else self._remote
        self._signalling_ip = signalling_ip
        self._learn_until = now + LEARN_S

    @property
    def target(self) -> Address | None:
        """Where to send: the locked source, before that the address in SDP."""
        return self.locked or self._remote

    def offer(self, source: Address, now: float, *, silent_s: float) -> bool:
        """A packet from ``source``; ``silent_s`` since the locked source was heard. True: it is the peer, locked."""
        if source == self.locked:
            return True
        if self._may_lock(source, now, silent_s):
            self.locked = source
            return True
        return False

    def _may_lock(self, source: Address, now: float, silent_s: float) -> bool:
        learning = now < self._learn_until
        if source == self._remote:
            # SDP said so: it also beats a guess that was locked while learning.
            return self.locked is None or learning or silent_s > SILENT_S
        same_host = source[0] in {self._remote[0] if self._remote else "", self.locked[0] if self.locked else ""}
        if self.locked is None:
            return same_host or (learning and source[0] == self._signalling_ip)
        return same_host and silent_s > SILENT_S
