"""The far end of one media stream: paces what goes to the carrier, and knows what of it was played.

``play`` and ``clear`` come once per tick from the edge and only fill an outbox; one task per stream empties it. A
clear overtakes the audio that waits: nothing that was said before it can go out after it.
"""

from __future__ import annotations

import asyncio
import socket as sockets
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from telephony.audio.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from telephony.errors import MediaError, RemoteProtocolError
from telephony.events import TransferOutcome
from telephony.stream_door import Call
from telephony.twilio import messages, twiml
from telephony.twilio.control import CallGone, TwilioControl
from telephony.twilio.dialect import Dialect
from telephony.twilio.messages import Start
from telephony.twilio.pacing import MAX_WAITING, Audio, FarEnd, MarkDue

SEND_BUFFER_BYTES = 16 * 1024
"""Of the kernel: what lies there cannot be taken back."""
CLOSE_S = 1.0
LEAD_MS = 60

NoteRefusal = Callable[[str, str], None]
"""Rule and reason."""


class TwilioPeer:
    """Implements ``telephony.stream_door.Peer``."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        request: web.Request,
        start: Start,
        dialect: Dialect,
        *,
        control: TwilioControl | None,
        after_url: str,
    ) -> None:
        self._socket, self._start, self._dialect = socket, start, dialect
        self._control, self._after_url = control, after_url
        self._transport = request.transport
        self._far = FarEnd(lead_ms=LEAD_MS)
        self._outbox: deque[tuple[bool, str]] = deque()
        """``(it is audio or a mark of audio, text)``."""
        self._last_frame = -1
        self._wake = asyncio.Event()
        self._work: deque[Coroutine[Any, Any, None]] = deque()
        self._is_closing = self._is_done = False
        self._call: Call | None = None
        self._note: NoteRefusal = lambda rule, why: None
        _shrink_send_buffer(self._transport)

    @property
    def unsent(self) -> int:
        return self._far.waiting + sum(1 for is_media, _ in self._outbox if is_media)

    def attach(self, call: Call, note: NoteRefusal) -> None:
        """The call that this is the far end of."""
        self._call, self._note = call, note

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        """The carrier's G.711 as PCM16."""
        code = np.frombuffer(payload, np.uint8)
        return alaw_decode(code) if self._start.alaw else ulaw_decode(code)

    def mark_back(self, name: str) -> None:
        now = time.monotonic()
        self._far.mark_back(name, now)
        self._flush(now)

    # --- Peer -----------------------------------------------------------------------------------------------

    def answered(self) -> None:
        """A carrier's call is answered before its stream begins: audio flows at once."""
        probe = self._far.probe(time.monotonic())
        self._put(messages.mark(probe.name, self._start.stream_id, self._dialect), is_media=False)
        if self._call is not None:
            self._call.opened()

    def refused(self, status: int, reason: str, retry_after_s: int | None) -> None:
        """The carrier's own way on: the stream ends, and its TwiML goes on at ``action``."""
        self._close()

    def play(self, pcm: NDArray[np.int16], frame_no: int) -> None:
        now = time.monotonic()
        if frame_no >= 0:
            if frame_no < self._last_frame:  # another claim, counted from 0: what the last one said is void
                self._far.restart(now)
                self._send_clear()
            self._last_frame = frame_no
        code = alaw_encode(pcm) if self._start.alaw else ulaw_encode(pcm)
        self._far.push(code.tobytes(), frame_no, is_silent=not pcm.any())
        self._flush(now)
        if self._far.has_stalled(now) or self.unsent > MAX_WAITING:
            self._stalled()

    def clear(self) -> None:
        self._far.clear(time.monotonic())
        self._send_clear()

    def send_dtmf(self, digits: str) -> None:
        """Raises ``MediaError``: a stream carries no keys to the caller."""
        raise MediaError("a media stream cannot send keys")

    def transfer(self, target: str) -> None:
        """New TwiML for the call. Raises ``MediaError`` where it cannot even begin."""
        if self._control is None:
            raise MediaError("no REST credentials: a stream alone cannot transfer")
        try:
            text = twiml.dial(target, action=self._after_url)
        except RemoteProtocolError as error:
            raise MediaError(str(error)) from None
        self._do(self._transfer(self._control, text))

    def notify(self, at_ms: int, kind: str, data: dict[str, Any]) -> None:
        """A telephone shows nothing."""

    def ended(self, reason: str) -> None:
        if self._control is not None and reason != "transferred":
            self._do(self._hang_up(self._control))
        self._close()

    # --- sending --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Empty the outbox until the stream is over; commands to the REST API run beside it."""
        async with asyncio.TaskGroup() as group:
            with suppress(ConnectionError, RuntimeError):  # the reader sees the closed socket and says so
                await self._send_all(group)
            self._is_closing = True
            await self._shut()
        self._is_done = True

    async def _send_all(self, group: asyncio.TaskGroup) -> None:
        while not self._socket.closed:
            await self._wake.wait()
            self._wake.clear()
            while self._work:
                group.create_task(self._work.popleft())
            while self._outbox:
                _, text = self._outbox.popleft()
                await self._socket.send_str(text)
            if self._is_closing:
                return

    async def _shut(self) -> None:
        """Close without waiting long for a carrier that may not answer."""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close()

    def stop(self) -> None:
        """The socket is gone, or nobody reads it any more."""
        self._close()

    def _flush(self, now: float) -> None:
        for order in self._far.due(now):
            match order:
                case Audio(payload):
                    text = messages.media(payload, self._start.stream_id, self._dialect)
                case MarkDue(name):
                    text = messages.mark(name, self._start.stream_id, self._dialect)
            self._put(text, is_media=True)
        if self._call is not None:
            self._call.confirm(self._far.played(now))

    def _send_clear(self) -> None:
        kept = [item for item in self._outbox if not item[0]]
        self._outbox.clear()
        self._outbox.extend(kept)
        self._put(messages.clear(self._start.stream_id, self._dialect), is_media=False)

    def _put(self, text: str, *, is_media: bool) -> None:
        if not self._is_closing:
            self._outbox.append((is_media, text))
            self._wake.set()

    def _stalled(self) -> None:
        """The carrier takes nothing: what waits is out of date, and so is the call."""
        if self._is_closing:
            return
        self._note("stream-stalled", f"{self.unsent} frames wait, and no mark comes: the carrier takes nothing")
        if self._call is not None and not self._call.is_over:
            self._call.end(by="network", reason="media_timeout")
        self._close()
        if self._transport is not None:
            self._transport.abort()

    def _close(self) -> None:
        self._is_closing = True
        self._outbox.clear()
        self._wake.set()

    # --- commands -------------------------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        if self._is_done:
            work.close()
            return
        self._work.append(work)
        self._wake.set()

    async def _transfer(self, control: TwilioControl, text: str) -> None:
        outcome, status, reason = TransferOutcome.SUCCEEDED, 200, "dialled"
        try:
            await control.redirect(self._start.call_id, text)
        except CallGone:
            outcome, status, reason = TransferOutcome.FAILED, 404, "the call is over"
        except MediaError as error:
            outcome, status, reason = TransferOutcome.FAILED, 502, str(error)
        if self._call is not None:
            self._call.transfer(outcome, status, reason)

    async def _hang_up(self, control: TwilioControl) -> None:
        """Closing the stream would end the call too, where its TwiML is ours; this ends it in any case."""
        with suppress(MediaError):
            await control.hang_up(self._start.call_id)


def _shrink_send_buffer(transport: asyncio.Transport | None) -> None:
    connection = None if transport is None else transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BUFFER_BYTES)
