"""Ports for programs that cannot choose their own."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress

RANGE = range(20_000, 32_000, 2)
"""Below the ports that the system gives to outgoing connections: those come and go under a test's feet."""


def free_ports(count: int) -> list[int]:
    """Even ports of loopback that nobody has bound now, neither for UDP nor for TCP, nor the odd ones behind them."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            port = random.choice(RANGE)
            if all(_bound(held, kind, number) for number in (port, port + 1) for kind in KINDS):
                found.append(port)
    return found


KINDS = (socket.SOCK_DGRAM, socket.SOCK_STREAM)


def _bound(held: ExitStack, kind: socket.SocketKind, port: int) -> bool:
    probe = held.enter_context(socket.socket(socket.AF_INET, kind))
    with suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False
