"""One client's WebSocket: a bounded queue out, limits in, and an end that is always told where it can be.

Close codes beyond the standard ones (RFC 6455 section 7.4): 4400 messages that the protocol forbids, 4408 no start in
time, 4429 too much in too short a time, 4000 + n the call was refused with SIP status n (4486 busy, 4503 no capacity,
4603 declined). A client that takes nothing for ``STALL_S`` is cut off without a code: it would not read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from telephony.stream_guard import Allowance

MAX_MESSAGE_BYTES = 256 * 1024
MAX_AUDIO_WAITING = 50
"""Messages of 20 ms that wait for a slow client; the oldest is dropped for a newer one."""
MAX_TEXT_WAITING = 500
STALL_S = 5.0
PING_S = 20.0
CLOSE_S = 1.0
MESSAGES_PER_S = 200.0
MESSAGES_BURST = 400.0
SECONDS_AHEAD = 10.0
"""Audio may come that much faster than it is spoken, once; twice as fast in the long run."""
BAD_MESSAGE, NO_START, TOO_MUCH = 4400, 4408, 4429
SEND_BUFFER_BYTES = 16 * 1024
"""Of the kernel: what lies there cannot be taken back."""


def refusal_code(status: int) -> int:
    """WebSocket close code of a SIP status."""
    return 4000 + status if 300 <= status < 700 else 4500


class StreamSocket:
    """Owns the socket of one call. ``run`` in the request's handler; the rest from anywhere in the loop."""

    def __init__(self, *, bytes_per_frame: int = 320) -> None:
        self.bytes_per_frame = bytes_per_frame
        """Size of a frame on the wire, to tell what has not left."""
        self._socket = web.WebSocketResponse(
            heartbeat=PING_S, timeout=CLOSE_S, max_msg_size=MAX_MESSAGE_BYTES, compress=False
        )
        self._transport: asyncio.Transport | None = None
        self._audio: deque[bytes | str] = deque()
        self._text: deque[str] = deque()
        self._closing: tuple[int, str] | None = None
        self._wake = asyncio.Event()
        self._moved_at = 0.0
        self._cut_off: asyncio.TimerHandle | None = None
        self.dropped = 0
        """Frames that a slow client never got."""
        self.on_stalled: Callable[[], None] = lambda: None

    @property
    def response(self) -> web.WebSocketResponse:
        return self._socket

    @property
    def unsent(self) -> int:
        """Frames that have not left the process."""
        buffered = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return len(self._audio) + -(-buffered // self.bytes_per_frame)

    @property
    def is_closing(self) -> bool:
        return self._closing is not None

    async def prepare(self, request: web.Request) -> None:
        """Answer the upgrade."""
        await self._socket.prepare(request)
        transport = request.transport
        if isinstance(transport, asyncio.Transport) or hasattr(transport, "get_write_buffer_size"):
            self._transport = transport  # uvloop's is no subclass
            raw = transport.get_extra_info("socket")  # type: ignore[union-attr]
            with contextlib.suppress(OSError, AttributeError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._moved_at = time.monotonic()

    def send_audio(self, message: bytes | str) -> None:
        """One frame; a slow client loses its oldest."""
        if self._closing is not None:
            return
        if len(self._audio) >= MAX_AUDIO_WAITING:
            self._audio.popleft()
            self.dropped += 1
        self._audio.append(message)
        self._queued()

    def send_text(self, message: str) -> None:
        """One event; never dropped: a client that takes none is cut off."""
        if self._closing is not None:
            return
        self._text.append(message)
        self._queued()

    def clear_audio(self) -> None:
        """Drop frames that have not left."""
        self._audio.clear()

    def close(self, code: int, reason: str) -> None:
        """Send what is queued, then close."""
        if self._closing is None:
            self._closing = (code, reason[:100])
            self._wake.set()
            self._cut_off = asyncio.get_running_loop().call_later(STALL_S, self._abort)

    async def run(self, on_message: Callable[[str | bytes], None], *, audio_bytes_per_s: int) -> str:
        """Read until the end; returns what ended it: ``gone``, ``closed`` (by us) or ``oversized``."""
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self._write())
            try:
                return await self._read(on_message, audio_bytes_per_s)
            finally:
                if self._closing is not None:  # the writer's closing handshake ends the reading
                    await asyncio.wait({writer}, timeout=CLOSE_S)
                writer.cancel()
                if self._cut_off is not None:
                    self._cut_off.cancel()

    async def _read(self, on_message: Callable[[str | bytes], None], audio_bytes_per_s: int) -> str:
        now = time.monotonic()
        messages = Allowance(per_s=MESSAGES_PER_S, burst=MESSAGES_BURST, now=now)
        size = Allowance(per_s=2.0 * audio_bytes_per_s, burst=SECONDS_AHEAD * audio_bytes_per_s, now=now)
        while True:
            try:
                message = await self._socket.receive()
            except (ConnectionError, RuntimeError):
                return "gone"
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return self._ending(message)
            if self._closing is not None:
                continue  # nothing that comes now is looked at
            now = time.monotonic()
            if not messages.take(1.0, now) or not size.take(float(len(message.data)), now):
                self.close(TOO_MUCH, "too much in too short a time")
                continue
            on_message(message.data)

    def _ending(self, message: WSMessage) -> str:
        if message.type is WSMsgType.ERROR and getattr(message.data, "code", 0) == WSCloseCode.MESSAGE_TOO_BIG:
            return "oversized"
        return "gone" if self._closing is None else "closed"

    async def _write(self) -> None:
        try:
            while True:
                while self._text or self._audio:
                    message = self._next()
                    if isinstance(message, bytes):
                        await self._socket.send_bytes(message)
                    else:
                        await self._socket.send_str(message)
                    self._moved_at = time.monotonic()
                if self._closing is not None:
                    await self._socket.close(code=self._closing[0], message=self._closing[1].encode())
                    return
                self._wake.clear()
                await self._wake.wait()
        except (ConnectionError, RuntimeError):  # gone; the reader sees it too
            return

    def _next(self) -> str | bytes:
        """Events overtake audio, but nothing comes after the farewell."""
        first: deque[bytes | str] | deque[str] = self._text
        if not self._text or (self._closing is not None and self._audio):
            first = self._audio
        return first.popleft()

    def _queued(self) -> None:
        self._wake.set()
        if len(self._text) > MAX_TEXT_WAITING or time.monotonic() - self._moved_at > STALL_S:
            self._stalled()

    def _stalled(self) -> None:
        if self._closing is not None:
            return
        self._closing = (BAD_MESSAGE, "stalled")
        self._text.clear()
        self._audio.clear()
        self._abort()
        self.on_stalled()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
