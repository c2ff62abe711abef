"""RTP ports: pairs of UDP sockets out of a range, and the rest that a closed pair takes.

Late packets of a closed call must not reach the next one, so a closed pair stays bound, and is drained, until
nothing has come for a while (telephony media rule; a peer may go on sending for seconds after BYE).
"""

from __future__ import annotations

import random
import socket
from collections import deque
from dataclasses import dataclass

from telephony.errors import MediaError

_SWEEP = 16  # resting pairs looked at per call: bounds the time of one sweep
_DRAIN = 64  # datagrams taken from a resting socket per look
_RECEIVE_BUFFER_BYTES = 128 * 1024  # about 3 s of G.711 at 20 ms, counting kernel overhead


@dataclass(slots=True)
class PortPair:
    """An RTP socket on an even port and the RTCP socket on the next. Both are non-blocking."""

    port: int
    rtp: socket.socket
    rtcp: socket.socket
    quiet_since: float = 0.0

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


class PortPool:
    """Hands out pairs in random order, so that ports cannot be guessed from one another."""

    def __init__(self, host: str, port_min: int, port_max: int, *, rest_s: float, rng: random.Random) -> None:
        self._host = host
        self._low = port_min + port_min % 2
        self._count = (port_max - self._low + 1) // 2
        if self._count < 1:
            raise ValueError(f"no even port with its next one from {port_min} to {port_max}")
        self._rest_s = rest_s
        self._rng = rng
        self._used: set[int] = set()
        self._resting: deque[PortPair] = deque()

    @property
    def resting(self) -> int:
        """Pairs that are closed but not free yet."""
        return len(self._resting)

    def take(self, port: int | None = None) -> PortPair:
        """Bind a pair, on ``port`` where it is given. Raises ``MediaError`` if that is not possible."""
        if port is not None:
            if port % 2 or not self._low <= port < self._low + 2 * self._count:
                raise MediaError(f"port {port} is odd or out of range")
            pair = self._bind(port)
            if pair is None:
                raise MediaError(f"port {port} is taken")
            return pair
        start = self._rng.randrange(self._count)
        for step in range(self._count):
            pair = self._bind(self._low + 2 * ((start + step) % self._count))
            if pair is not None:
                return pair
        raise MediaError("no RTP port is free")

    def release(self, pair: PortPair, now: float) -> None:
        """Let a pair rest until its packets stop."""
        pair.quiet_since = now
        self._resting.append(pair)

    def sweep(self, now: float) -> None:
        """Drain resting pairs and close those that have been quiet long enough. Call often; each call is short."""
        for _ in range(min(_SWEEP, len(self._resting))):
            pair = self._resting.popleft()
            if _drain(pair.rtp) + _drain(pair.rtcp):
                pair.quiet_since = now
            if now - pair.quiet_since >= self._rest_s:
                pair.close()
                self._used.discard(pair.port)
            else:
                self._resting.append(pair)

    def close(self) -> None:
        """Close all resting pairs at once."""
        while self._resting:
            self._resting.pop().close()

    def _bind(self, port: int) -> PortPair | None:
        if port in self._used:
            return None
        rtp = _udp_socket(self._host, port)
        if rtp is None:
            return None
        rtcp = _udp_socket(self._host, port + 1)
        if rtcp is None:
            rtp.close()
            return None
        self._used.add(port)
        return PortPair(port=port, rtp=rtp, rtcp=rtcp)


def _udp_socket(host: str, port: int) -> socket.socket | None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        return None
    return sock


def _drain(sock: socket.socket) -> int:
    """Datagrams thrown away."""
    for taken in range(_DRAIN):
        try:
            sock.recv(2048)
        except BlockingIOError:
            return taken
        except OSError:  # an ICMP error of an earlier send is reported here; it is no packet
            continue
    return _DRAIN
