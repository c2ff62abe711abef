"""A bare UDP socket that speaks as much SIP as a ping needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast


class SipClient(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._pings = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # its class has another base

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._received.put_nowait(data)

    def send(self, datagram: bytes) -> None:
        assert self._transport is not None
        self._transport.sendto(datagram)

    @property
    def port(self) -> int:
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    async def answers(self, for_s: float) -> list[bytes]:
        """Everything that arrives in that time."""
        found: list[bytes] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                while True:
                    found.append(await self._received.get())
        return found

    async def ping(self, within_s: float = 5.0) -> int:
        """Status of an OPTIONS; whatever else arrives before it is thrown away."""
        self._pings += 1
        port = self.port
        self.send(
            (
                f"OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;"
                f"branch=z9hG4bKping{self._pings}x{port}\r\nFrom: <sip:p@127.0.0.1>;tag=p\r\nTo: <sip:x@127.0.0.1>\r\n"
                f"Call-ID: ping\r\nCSeq: {self._pings} OPTIONS\r\n\r\n"
            ).encode()
        )
        async with asyncio.timeout(within_s):
            while True:
                answer = await self._received.get()
                if f"CSeq: {self._pings} OPTIONS".encode() in answer and b"Call-ID: ping" in answer:
                    return int(answer.split(b" ", 2)[1])


@asynccontextmanager
async def sip_client(port: int) -> AsyncIterator[SipClient]:
    """Connected to a port on loopback."""
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(SipClient, remote_addr=("127.0.0.1", port))
    try:
        yield client
    finally:
        transport.close()
        await asyncio.sleep(0)
