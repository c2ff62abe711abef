"""An edge's connections to workers: audio out and in, one message per worker and phase tick. Never blocks."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import numpy as np

from telephony.errors import RemoteProtocolError
from telephony.link import PROTOCOL, FrameReader, FrameType, OutBatch, decode_out, pack

RETRY_S = 0.25
_BUFFER_BYTES = 512 * 1024  # socket buffers: several ticks of 500 rows
_MAX_BACKLOG_BYTES = 1024 * 1024  # unsent audio; above it whole messages are dropped
_READ_BYTES = 256 * 1024
_READS_PER_TICK = 8


class WorkerLink:
    """One worker. Lost connections are tried again; until then its legs send silence."""

    def __init__(self, address: str, *, edge: str, phases: int) -> None:
        self.address = address
        self._edge = edge
        self._phases = phases
        self._sock: socket.socket | None = None
        self._reader = FrameReader()
        self._backlog = bytearray()
        self._retry_at = 0.0
        self.legs = 0
        """Legs routed to this worker."""
        self.was_up = False
        """It has been connected since the last time that its loss was told."""
        self.dropped = 0
        """IN messages dropped because the worker does not read."""
        self.errors = 0
        # A worker's row to the leg's phase and bank row; -1: nobody.
        self.phase_of = np.full(1 << 16, -1, np.int8)
        self.row_of = np.zeros(1 << 16, np.int32)

    @property
    def up(self) -> bool:
        return self._sock is not None

    def poll_connect(self, now: float) -> None:
        """Try to connect when it is time."""
        if self._sock is not None or now < self._retry_at:
            return
        self._retry_at = now + RETRY_S
        if self._connect():
            self.was_up = True
            hello = {"proto": PROTOCOL, "edge": self._edge, "phases": self._phases}
            self.send(pack(FrameType.HELLO, json.dumps(hello).encode()))

    def send(self, frame: bytes) -> None:
        """Send one frame, or drop it if the worker is away or does not read."""
        if self._sock is None:
            return
        if self._backlog:
            if len(self._backlog) > _MAX_BACKLOG_BYTES:
                self.dropped += 1
            else:
                self._backlog += frame
            self._flush()
            return
        try:
            sent = self._sock.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop()
            return
        if sent < len(frame):
            self._backlog += frame[sent:]

    def receive(self) -> Iterator[OutBatch]:
        """Agent audio that has come. A worker that breaks the protocol is disconnected and tried again."""
        for _ in range(_READS_PER_TICK):
            if self._sock is None:
                return
            try:
                data = self._sock.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._drop()
                return
            try:
                for kind, body in self._reader.feed(data):
                    if kind is FrameType.OUT:
                        yield decode_out(body)
                    elif kind is FrameType.BYE:
                        self._drop()
                        return
            except RemoteProtocolError:
                self.errors += 1
                self._drop()
                return

    def take_loss(self) -> bool:
        """True once after the connection was lost."""
        lost = self.was_up and self._sock is None
        if lost:
            self.was_up = False
        return lost

    def close(self) -> None:
        """Say goodbye and close."""
        self.send(pack(FrameType.BYE, b""))
        self._drop()

    def _flush(self) -> None:
        if self._sock is None:
            return
        try:
            sent = self._sock.send(self._backlog)
        except BlockingIOError:
            return
        except OSError:
            self._drop()
            return
        del self._backlog[:sent]

    def _connect(self) -> bool:
        """Connect; a Unix socket does so at once, TCP in the background (writes wait in the backlog until then)."""
        host, colon, port = self.address.rpartition(":")
        is_tcp = bool(colon) and port.isdigit() and "/" not in self.address
        sock = socket.socket(socket.AF_INET if is_tcp else socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        try:
            if is_tcp:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect((host, int(port)))
            else:
                sock.connect(self.address)
        except BlockingIOError:
            if not is_tcp:  # the worker's backlog is full
                sock.close()
                return False
        except OSError:
            sock.close()
            return False
        self._sock = sock
        self._reader = FrameReader()
        self._backlog.clear()
        return True

    def _drop(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self._backlog.clear()
