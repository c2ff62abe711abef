"""The messages of RFC 4475 over a real socket, with an OPTIONS between any two."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.peers.sip_service import service

FOLDER = Path(__file__).parents[1] / "data" / "sip_torture"


class Client(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.put_nowait(data)


def ping(number: int, port: int) -> bytes:
    return (
        f"OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bKping{number}\r\n"
        f"From: <sip:p@127.0.0.1>;tag=p\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: ping\r\nCSeq: {number} OPTIONS\r\n\r\n"
    ).encode()


async def test_endpoint_is_alive_after_each_torture_message() -> None:
    async with service() as ours:
        loop = asyncio.get_running_loop()
        transport, client = await loop.create_datagram_endpoint(Client, remote_addr=("127.0.0.1", ours.port))
        port = transport.get_extra_info("sockname")[1]
        try:
            for number, name in enumerate(sorted(json.loads((FOLDER / "verdicts.json").read_text())), start=1):
                transport.sendto((FOLDER / f"{name}.dat").read_bytes())
                transport.sendto(ping(number, port))
                async with asyncio.timeout(5):
                    while True:
                        answer = await client.received.get()
                        if f"CSeq: {number} OPTIONS".encode() in answer and b"Call-ID: ping" in answer:
                            break
                assert answer.startswith(b"SIP/2.0 200"), name
        finally:
            transport.close()
            await asyncio.sleep(0)
