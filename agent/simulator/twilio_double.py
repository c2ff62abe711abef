"""Twilio's side of a media stream, built from Twilio's documents ("Media Streams: WebSocket Messages", "<Stream>").

What it does as Twilio does: the caller's audio goes out as one message per 20 ms with its numbers; what the server
sends is kept in a deep buffer and played at real time; a mark comes back when all before it was played, at once when
nothing is; ``clear`` empties the buffer and returns every mark that waited. The wire in between has a delay, and may
stall: then nothing passes, and afterwards everything at once.

It shares no code with ``telephony.twilio``: two that are wrong in the same way would agree.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from agent.simulator.clips import PACKET_SAMPLES
from agent.simulator.stream_line import StreamLine, keep_time


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamNetwork:
    """The way between Twilio and the server, both directions alike."""

    delay_ms: float = 0.0
    stalls: tuple[tuple[float, float], ...] = ()
    """``(at_s, length_s)`` since the stream began: nothing passes, then all at once (TCP)."""

    def passes_at(self, since_s: float) -> float:
        """When a message handed over at ``since_s`` may leave."""
        for at_s, length_s in self.stalls:
            if at_s <= since_s < at_s + length_s:
                return at_s + length_s
        return since_s


@dataclass(slots=True)
class PlaybackBuffer:
    """What the server has sent and the caller has not heard. Pure."""

    _audio: bytearray = field(default_factory=bytearray)
    _marks: deque[tuple[int, str]] = field(default_factory=deque)
    """``(position behind which it stands, name)``."""
    _taken: int = 0
    """Bytes that came since the stream began."""
    _played: int = 0
    deepest: int = 0
    """Most bytes that ever waited."""
    clears: int = 0
    cleared_bytes: int = 0

    @property
    def depth(self) -> int:
        return len(self._audio)

    def media(self, payload: bytes) -> None:
        self._audio += payload
        self._taken += len(payload)
        self.deepest = max(self.deepest, len(self._audio))

    def mark(self, name: str) -> list[str]:
        """Marks that go back now: this one, when nothing waits to be played."""
        if not self._audio and not self._marks:
            return [name]
        self._marks.append((self._taken, name))
        return []

    def clear(self) -> list[str]:
        """Forget the audio; every waiting mark goes back."""
        self.clears += 1
        self.cleared_bytes += len(self._audio)
        self._played += len(self._audio)
        self._audio.clear()
        names = [name for _, name in self._marks]
        self._marks.clear()
        return names

    def play(self, size: int) -> tuple[bytes, list[str]]:
        """The next ``size`` bytes or what there is of them, and the marks that go back then."""
        audio = bytes(self._audio[:size])
        del self._audio[:size]
        self._played += len(audio)
        names = []
        while self._marks and self._marks[0][0] <= self._played:
            names.append(self._marks.popleft()[1])
        return audio, names


@dataclass(slots=True)
class StreamFacts:
    """What became of one stream."""

    stop_sent: bool = False
    closed_by: str = ""
    """``us`` (Twilio) or ``server``."""
    close_code: int | None = None
    unknown: list[str] = field(default_factory=list)
    """Messages that Twilio would not understand (its error 31951)."""
    marks_out: int = 0
    media_in: int = 0
    sent: int = 0


class StreamDouble:
    """One stream over an open WebSocket, until the caller hangs up or the server closes it."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        line: StreamLine,
        *,
        account_sid: str,
        call_sid: str,
        stream_sid: str,
        parameters: dict[str, str],
        network: StreamNetwork | None = None,
    ) -> None:
        self._socket, self._line = socket, line
        self._account_sid, self._call_sid, self._stream_sid = account_sid, call_sid, stream_sid
        self._parameters = parameters
        self._network = network or StreamNetwork()
        self.buffer = PlaybackBuffer()
        self.facts = StreamFacts()
        self._sequence = 0
        self._chunk = 0
        self._began = 0.0
        self._out: deque[tuple[float, str]] = deque()
        self._out_ready = asyncio.Event()
        self._over = asyncio.Event()
        line.on_audio, line.on_key = self.send_audio, self.send_key

    async def run(self) -> None:
        """The whole stream. Cancels nothing outside itself."""
        self._began = time.monotonic()
        self._say({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        self._say(self._numbered("start", start=self._start()))
        self._line.begin(self._began)
        tasks = [asyncio.ensure_future(work) for work in (self._talk(), self._write(), self._read())]
        try:
            await self._over.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(1.0):
                    await self._socket.close()

    def hang_up(self) -> None:
        """The caller has hung up, or the call was given something else to do: ``stop``, then the end."""
        if not self.facts.stop_sent and not self._over.is_set():
            self.facts.stop_sent = True
            self.facts.closed_by = self.facts.closed_by or "us"
            stop = {"accountSid": self._account_sid, "callSid": self._call_sid}
            self._say(self._numbered("stop", stop=stop))

    # --- to the server ---

    def send_audio(self, payload: bytes) -> None:
        self._chunk += 1
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(round((time.monotonic() - self._began) * 1000)),
            "payload": base64.b64encode(payload).decode(),
        }
        self._say(self._numbered("media", media=media))

    def send_key(self, key: str) -> None:
        self._say(self._numbered("dtmf", dtmf={"track": "inbound_track", "digit": key}))

    def _send_marks(self, names: list[str]) -> None:
        for name in names:
            self.facts.marks_out += 1
            self._say(self._numbered("mark", mark={"name": name}))

    def _start(self) -> dict[str, Any]:
        return {
            "accountSid": self._account_sid,
            "streamSid": self._stream_sid,
            "callSid": self._call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self._parameters,
        }

    def _numbered(self, event: str, **more: Any) -> dict[str, Any]:
        self._sequence += 1
        return {"event": event, "sequenceNumber": str(self._sequence), "streamSid": self._stream_sid, **more}

    def _say(self, body: dict[str, Any]) -> None:
        since_s = time.monotonic() - self._began
        due = self._began + self._network.passes_at(since_s) + self._network.delay_ms / 1000
        self._out.append((due, json.dumps(body)))
        self._out_ready.set()

    async def _write(self) -> None:
        with suppress(ConnectionError):
            while True:
                await self._out_ready.wait()
                self._out_ready.clear()
                while self._out:
                    due, text = self._out.popleft()
                    if (left := due - time.monotonic()) > 0:
                        await asyncio.sleep(left)
                    await self._socket.send_str(text)
                    self.facts.sent += 1
                if self.facts.stop_sent:
                    break
        self._over.set()

    # --- the caller ---

    async def _talk(self) -> None:
        """Every 20 ms at absolute deadlines: play to the caller what is there, take what the caller says."""
        await keep_time(self._line, self._play)
        self.hang_up()

    def _play(self, due: float) -> None:
        audio, names = self.buffer.play(PACKET_SAMPLES)
        if audio:
            self._line.hear(due, audio)
        self._send_marks(names)

    # --- from the server ---

    async def _read(self) -> None:
        """Not reading while the wire stalls: what the server sends then stays in its own buffers."""
        while True:
            message = await self._socket.receive()
            arrived = time.monotonic()
            free = self._began + self._network.passes_at(arrived - self._began)
            if free > arrived:
                await asyncio.sleep(free - arrived)
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            if self._network.delay_ms:
                asyncio.get_running_loop().call_later(self._network.delay_ms / 1000, self._obey, message.data)
            else:
                self._obey(message.data)
        if not self.facts.closed_by:
            self.facts.closed_by, self.facts.close_code = "server", self._socket.close_code
        self._over.set()

    def _obey(self, text: str) -> None:
        try:
            body = json.loads(text)
            if body["streamSid"] != self._stream_sid:
                raise ValueError("another stream")
            self._command(body)
        except (ValueError, KeyError, TypeError):
            self.facts.unknown.append(text[:200])

    def _command(self, body: dict[str, Any]) -> None:
        match body["event"]:
            case "media":
                self.facts.media_in += 1
                self.buffer.media(base64.b64decode(body["media"]["payload"], validate=True))
            case "mark":
                self._send_marks(self.buffer.mark(body["mark"]["name"]))
            case "clear":
                self._send_marks(self.buffer.clear())
            case _:
                raise ValueError("unknown event")
