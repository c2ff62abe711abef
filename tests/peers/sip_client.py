"""A bare UDP socket that speaks as much SIP as a ping needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

OFFER = "v=0\r\no=b 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
"""A session that takes PCMU, sent to a port where nobody listens."""


def to_of(answer: bytes) -> str:
    """The whole To value of a message: with its tag, the address of requests inside the dialog."""
    return next(line[4:] for line in answer.decode().split("\r\n") if line.startswith("To: "))


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


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

    def request(
        self, method: str, cseq: int, *, to: str = "", body: str = "", call: str = "c", user: str = "client"
    ) -> bytes:
        """One request of the call ``call``; without ``to`` it opens a dialog."""
        address = f"<sip:{user}@127.0.0.1:{self.port}>"
        branch = f"z9hG4bK{method}{cseq}{call}x{self.port}"
        head = (
            f"{method} sip:agent@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{self.port};rport;branch={branch}\r\n"
            f"From: {address};tag=b\r\nTo: {to or '<sip:agent@127.0.0.1>'}\r\nCall-ID: {call}x{self.port}\r\n"
            f"CSeq: {cseq} {method}\r\nContact: {address}\r\nMax-Forwards: 70\r\n"
        )
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return f"{head}{kind}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    def ack(self, answer: bytes, *, body: str = "", call: str = "c") -> None:
        """Acknowledge a final answer to INVITE 1: the ACK of a failure is part of its transaction (§17.1.1.3)."""
        ack = self.request("ACK", 1, to=to_of(answer), body=body, call=call)
        self.send(ack if status_of(answer) < 300 else ack.replace(b"z9hG4bKACK1", b"z9hG4bKINVITE1"))

    async def final(self, within_s: float = 5.0) -> bytes:
        """The next final response."""
        async with asyncio.timeout(within_s):
            while status_of(answer := await self._received.get()) < 200:
                pass
        return answer

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
