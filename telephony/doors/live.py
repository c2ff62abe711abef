"""Door ``live``: the live session protocol at ``/v1/live/sessions``, so that clients of GPT-Live can talk to us.

One socket is one session and one call. ``session.started`` comes at once (clients drop their audio until then), the
agent's audio in ``session.output_audio.delta`` at real-time pace, silence included, as soon as the call is answered.
``session.input_transcript.delta`` holds a turn's words when the turn is over; ``session.output_transcript.delta`` what
was **heard** of an utterance, when it has been played or was cut: a context made of these never holds an unheard word.

The agent's own brain works behind the session: ``instructions`` and ``thinking`` are kept with the call, ``commentary``
is said as it stands. There is no responses delegation and no sideband.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from telephony.doors.base import SocketPeer, source_of, turned_away
from telephony.doors.live_messages import LiveError, Message, Start, parse
from telephony.errors import MediaError
from telephony.stream_codec import StreamCodec
from telephony.stream_door import Desk
from telephony.stream_socket import BAD_MESSAGE, NO_START, StreamSocket, refusal_code

PATH = "/v1/live/sessions"
START_S = 10.0
USAGE_MS = 10_000
AUDIO_BYTES_PER_S = 24000 * 2 * 4 // 3 + 50 * 120
"""Largest format as base64 with its JSON, in messages of 20 ms."""
_BASE64_FRAME = 60
"""Bytes around the audio of a delta."""
MAX_EARLY = 64
"""Texts that may come before the call is answered: a start's input and a few."""


class LiveDoor:
    """Implements ``telephony.stream_door.Door``."""

    name = "live"
    lead_ms = 0
    confirms = False

    def __init__(self, *, token: str = "", allow_origins: Iterable[str] = ()) -> None:
        self._token, self._allow_origins = token, tuple(allow_origins)

    def routes(self, desk: Desk) -> Iterable[web.AbstractRouteDef]:
        async def upgrade(request: web.Request) -> web.StreamResponse:
            return await self._converse(request, desk)

        return [web.get(PATH, upgrade)]

    async def close(self) -> None:
        """Nothing is shared between its calls."""

    async def _converse(self, request: web.Request, desk: Desk) -> web.StreamResponse:
        early = turned_away(request, desk, self, token=self._token, allow_origins=self._allow_origins)
        if early is not None:
            return early
        wire = StreamSocket()
        await wire.prepare(request)
        peer = LivePeer(wire, desk, self, source_of(request))
        deadline = asyncio.get_running_loop().call_later(START_S, peer.not_started)
        try:
            how = await wire.run(peer.received, audio_bytes_per_s=AUDIO_BYTES_PER_S)
        finally:
            deadline.cancel()
        peer.gone(how)
        return wire.response


class LivePeer(SocketPeer):
    """Implements ``telephony.stream_door.Peer``: one session."""

    def __init__(self, wire: StreamSocket, desk: Desk, door: LiveDoor, source: str) -> None:
        super().__init__(wire, desk, door, source)
        self._start: Start | None = None
        self._early: list[tuple[str, str]] = []
        self._number = 0
        self._begun_ms: dict[int, int] = {}
        self._turn_ms = 0
        self._turn, self._told = 0, ""
        self._usage_ms = 0

    # --- client ---------------------------------------------------------------------------------------------

    def received(self, data: str | bytes) -> None:
        """One message of the client."""
        try:
            message = parse(data)
            if (message.kind == "start") == (self._start is not None):
                code, text = ("session_already_started", "a session starts once")
                if self._start is None:
                    code, text = ("session_not_started", "the first message must be session.start")
                raise LiveError(code, text, param="type", client_event_id=message.event_id)
            _DO[message.kind](self, message)
        except LiveError as error:
            self._error(error)

    def not_started(self) -> None:
        """Called when the time for ``session.start`` is over."""
        if self._start is None:
            self.wire.close(NO_START, "no session.start")

    def _begin(self, message: Message) -> None:
        start = message.start
        assert start is not None
        codec = StreamCodec(start.codec, start.rate_hz)
        self.use(codec, codec.bytes_per_s // 50 * 4 // 3 + _BASE64_FRAME)
        try:
            self.call = self._desk.offer(
                self, door=self._door, source=self._source, from_uri="client", to_uri=start.model
            )
        except MediaError as error:
            self._tell_error("no_capacity", str(error), kind="server_error", client_event_id=message.event_id)
            self.wire.close(refusal_code(503), str(error))
            return
        self._start = start
        self._early = list(start.texts)[:MAX_EARLY]
        self._tell("session.started", client_event_id=message.event_id, session=self._session("active"))

    def _update(self, message: Message) -> None:
        self._tell("session.updated", client_event_id=message.event_id, session=self._session("active"))

    def _audio(self, message: Message) -> None:
        self.hear(message.audio)

    def _mute(self, message: Message) -> None:
        if self.call is not None:
            self.call.mute(message.kind == "input_audio.mute")

    def _append(self, message: Message) -> None:
        if self.call is None:
            return
        channel = message.kind.removesuffix(".append")
        now_ms = self.call.media_ms
        if self._early or not now_ms:
            self._early.append((channel, message.text))
            del self._early[MAX_EARLY:]
        else:
            self.call.append(channel, message.text)
        self._tell(
            f"session.{channel}.appended", client_event_id=message.event_id, start_ms=now_ms, end_ms=now_ms
        )  # fmt: skip

    def _close(self, message: Message) -> None:
        self._closed("client_requested", client_event_id=message.event_id)
        if self.call is not None:
            self.call.end()

    # --- edge -----------------------------------------------------------------------------------------------

    def answered(self) -> None:
        if self.call is None:
            return
        self.call.opened()
        for channel, text in self._early:
            self.call.append(channel, text)
        self._early.clear()

    def refused(self, status: int, reason: str, retry_after_s: int | None) -> None:
        code = {486: "busy", 603: "declined"}.get(status, "no_capacity" if status == 503 else "refused")
        self._tell_error(code, reason, kind="server_error")
        self._closed("refused", code=refusal_code(status))

    def play(self, pcm: NDArray[np.int16], frame_no: int) -> None:
        delta = base64.b64encode(self.codec.encode(pcm)).decode()
        self.wire.send_audio(f'{{"type":"session.output_audio.delta","delta":"{delta}"}}')
        if self.call is not None and self.call.media_ms - self._usage_ms >= USAGE_MS:
            self._usage_ms = self.call.media_ms
            self._tell("session.usage.updated", usage={"seconds": self._usage_ms / 1000})

    def notify(self, at_ms: int, kind: str, data: dict[str, Any]) -> None:
        if kind == "turn":
            self._on_turn(at_ms, data)
        elif kind == "utterance":
            number = int(data.get("number", 0))
            if data.get("phase") == "started":
                self._begun_ms[number] = at_ms
            else:
                begun_ms = self._begun_ms.pop(number, at_ms)
                self._transcript("output", str(data.get("heard", "")), begun_ms, at_ms)

    def ended(self, reason: str) -> None:
        self._closed(reason, code=1001 if reason == "shutdown" else 1000)

    # --- words ----------------------------------------------------------------------------------------------

    def _on_turn(self, at_ms: int, data: dict[str, Any]) -> None:
        """A turn that was reopened ends twice: then only what is new of it is told."""
        turn, text = int(data.get("turn", 0)), str(data.get("text", ""))
        if data.get("phase") == "started":
            self._turn_ms = at_ms
        elif data.get("phase") == "ended":
            told = self._told if turn == self._turn else ""
            self._turn, self._told = turn, text
            self._transcript("input", _added(told, text), min(self._turn_ms, at_ms), at_ms)

    def _transcript(self, side: str, text: str, start_ms: int, end_ms: int) -> None:
        if text:  # pieces carry their own leading space, and are put together as they are
            self._tell(f"session.{side}_transcript.delta", delta=f" {text}", start_ms=start_ms, end_ms=end_ms)

    # --- telling --------------------------------------------------------------------------------------------

    def _session(self, status: str) -> dict[str, Any]:
        leg_id = self.call.leg_id if self.call is not None else ""
        told = self._start.session if self._start is not None else {}
        return {"id": f"sess_{leg_id}", "object": "live.session", "status": status, **told}

    def _closed(self, reason: str, *, code: int = 1000, client_event_id: str = "") -> None:
        seconds = self.call.media_ms / 1000 if self.call is not None else 0.0
        self._tell(
            "session.closed", client_event_id=client_event_id, reason=reason, session=self._session("closed"),
            usage={"seconds": seconds},
        )  # fmt: skip
        self.wire.close(code, reason)

    def _error(self, error: LiveError) -> None:
        self._tell_error(
            error.code, str(error), kind="invalid_request_error", param=error.param,
            client_event_id=error.client_event_id,
        )  # fmt: skip
        if not self.note_error(f"live-{error.code}", str(error)):
            self.wire.close(BAD_MESSAGE, "too many bad messages")

    def _tell_error(self, code: str, message: str, *, kind: str, param: str = "", client_event_id: str = "") -> None:
        body = {"type": kind, "code": code, "message": message}
        body |= {name: value for name, value in (("param", param), ("client_event_id", client_event_id)) if value}
        self._tell("error", error=body)

    def _tell(self, kind: str, *, client_event_id: str = "", **fields: Any) -> None:
        self._number += 1
        head = {"type": kind, "event_id": f"event_{self._number}"}
        if client_event_id:
            head["client_event_id"] = client_event_id
        self.wire.send_text(json.dumps(head | fields, separators=(",", ":")))


def _added(before: str, after: str) -> str:
    """The words of ``after`` behind what it shares with ``before``."""
    old, new = before.split(), after.split()
    same = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    return " ".join(new[same:])


_DO: dict[str, Callable[[LivePeer, Message], None]] = {
    "start": LivePeer._begin,
    "update": LivePeer._update,
    "input_audio.append": LivePeer._audio,
    "input_audio.mute": LivePeer._mute,
    "input_audio.unmute": LivePeer._mute,
    "instructions.append": LivePeer._append,
    "thinking.append": LivePeer._append,
    "commentary.append": LivePeer._append,
    "close": LivePeer._close,
}
