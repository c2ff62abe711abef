"""A media endpoint for callers that only signal (sipp): sends silence, keeps what arrives and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import numpy as np
from numpy.typing import NDArray

from tests.peers.pcap import rtp

SILENCE = b"\xff" * 160


class RtpPeer(asyncio.DatagramProtocol):
    """``received``: (monotonic time, packet) of each RTP packet of payload type 0."""

    def __init__(self) -> None:
        self.received: list[tuple[float, bytes]] = []
        self.source: tuple[str, int] | None = None
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # its class has another base

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.source = addr
        if len(data) > 12 and data[1] & 0x7F == 0:
            self.received.append((time.monotonic(), data))

    @property
    def port(self) -> int:
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    async def speak(self) -> None:
        """Silence, 50 packets a second, to whoever sends to us."""
        assert self._transport is not None
        start, n = time.monotonic(), 0
        while True:
            if self.source is not None:
                self._transport.sendto(rtp(n, n * 160, SILENCE), self.source)
            n += 1
            await asyncio.sleep(max(0.0, start + n * 0.02 - time.monotonic()))

    # --- what arrived ---

    def arrivals_s(self) -> NDArray[np.float64]:
        return np.array([at for at, _ in self.received])

    def numbers(self) -> NDArray[np.int64]:
        """(packets, 3): sequence, timestamp, SSRC."""
        heads = [(data[2:4], data[4:8], data[8:12]) for _, data in self.received]
        return np.array([[int.from_bytes(part, "big") for part in head] for head in heads], np.int64)


@asynccontextmanager
async def rtp_peer() -> AsyncIterator[RtpPeer]:
    """On a free loopback port, speaking until the block ends."""
    transport, peer = await asyncio.get_running_loop().create_datagram_endpoint(RtpPeer, local_addr=("127.0.0.1", 0))
    speaking = asyncio.ensure_future(peer.speak())
    try:
        yield peer
    finally:
        speaking.cancel()
        transport.close()
        await asyncio.sleep(0)
