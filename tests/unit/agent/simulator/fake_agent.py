"""An agent on the wire for the caller's tests: answers by SIP, speaks a tone in given spans, hears keys."""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np

from telephony.audio.g711 import ulaw_encode
from telephony.sip.actions import Ended, Established, Offered, Transmit
from telephony.sip.endpoint import SipEndpoint
from telephony.sip.settings import SipSettings


class FakeAgent(asyncio.DatagramProtocol):
    """One call at a time."""

    def __init__(self, spans: list[tuple[float, float]]) -> None:
        self.spans = spans
        self.received: list[bytes] = []
        self.media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.media.bind(("127.0.0.1", 0))
        self.media.settimeout(0.02)
        self.port = 0
        self.ended = asyncio.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    async def start(self) -> str:
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        return f"sip:agent@127.0.0.1:{self.port}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]
        self.endpoint = SipEndpoint(
            SipSettings(),
            local=lambda _: ("127.0.0.1", self.port),
            token=lambda: secrets.token_hex(16),
            random=random.random,
        )

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.endpoint.receive(data, addr, time.monotonic())
        self.act()

    def act(self) -> None:
        while outputs := self.endpoint.poll():
            for output in outputs:
                if isinstance(output, Transmit):
                    self.transport.sendto(output.data, output.destination)
                elif isinstance(output, Offered):
                    self.endpoint.prepare(output.call, ("127.0.0.1", self.media.getsockname()[1]))
                    self.endpoint.accept(output.call, time.monotonic())
                elif isinstance(output, Established):
                    assert output.media.remote is not None
                    self._thread = threading.Thread(target=self._talk, args=(output.media.remote,))
                    self._thread.start()
                elif isinstance(output, Ended):
                    self._stop.set()
                    self.ended.set()

    def _talk(self, remote: tuple[str, int]) -> None:
        start, sent = time.monotonic(), 0
        tone = ulaw_encode((6000 * np.sin(2 * np.pi * 440 * np.arange(160) / 8000)).astype(np.int16)).tobytes()
        while not self._stop.is_set():
            due = start + 0.02 * (sent + 1)
            while (wait := due - time.monotonic()) > 0:
                self.media.settimeout(max(0.001, wait))
                try:
                    self.received.append(self.media.recv(2048))
                except TimeoutError:
                    break
            loud = any(a <= 0.02 * sent < b for a, b in self.spans)
            head = struct.pack("!BBHII", 0x80, 0, sent & 0xFFFF, sent * 160, 99)
            self.media.sendto(head + (tone if loud else b"\xff" * 160), remote)
            sent += 1

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.media.close()
        self.transport.close()


@contextmanager
def fake_agent(*spans: tuple[float, float]) -> Iterator[FakeAgent]:
    agent = FakeAgent(list(spans))
    try:
        yield agent
    finally:
        agent.close()
