"""Does nobody listen there? Only a connected UDP socket is told of the ICMP error that says so (RFC 1122 §4.1.3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PING = b"\r\n\r\n"
"""A keep-alive (RFC 5626 §3.5.1): whoever speaks SIP answers it or drops it."""


class Knock(asyncio.DatagramProtocol):
    """Sends one ping; ``on_refused`` is called with the error when it bounces, and never where there is silence."""

    def __init__(self, on_refused: Callable[[OSError], None]) -> None:
        self._on_refused = on_refused

    def error_received(self, exc: Exception) -> None:
        if isinstance(exc, OSError):
            self._on_refused(exc)


async def knock(address: tuple[str, int], on_refused: Callable[[OSError], None]) -> asyncio.DatagramTransport:
    """Knock at ``address``; close the transport when the answer does not matter any more."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Knock(on_refused), remote_addr=address)
    transport.sendto(PING)
    return transport
