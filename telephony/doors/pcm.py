"""Door ``pcm``: plain audio over a WebSocket, for programs and benches. One socket is one call.

``GET /v1/pcm?format=pcm16|pcmu|pcma&rate=8000|16000|24000&from=…&to=…`` upgrades. Binary messages are audio in that
format, both ways: any size in, 20 ms out, silence included. Text messages are JSON objects with a ``type``.

From us: ``hello`` (the call is answered), ``clear`` (drop what you have not played), ``words turn floor utterance heard
overlap response dtmf`` as things happen, ``error`` (a message that we could not use), ``end`` (nothing follows).
From the client: ``dtmf`` with a ``digit``, ``mute``, ``unmute``, ``say`` with a ``text``, ``end``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from telephony.doors.base import SocketPeer, source_of, turned_away
from telephony.doors.texts import is_clean
from telephony.errors import MediaError, RemoteProtocolError
from telephony.stream_call import DIGITS
from telephony.stream_codec import StreamCodec
from telephony.stream_door import Desk
from telephony.stream_socket import BAD_MESSAGE, StreamSocket, refusal_code

PATH = "/v1/pcm"
QUERY = frozenset({"format", "rate", "from", "to"})
MAX_NAME = 256
MAX_SAID = 2000
FIELDS: dict[str, frozenset[str]] = {
    "dtmf": frozenset({"digit"}),
    "say": frozenset({"text"}),
    "mute": frozenset(),
    "unmute": frozenset(),
    "end": frozenset(),
}
"""Type of a client's message to its fields, all needed."""


def parse_query(query: Iterable[tuple[str, str]]) -> tuple[StreamCodec, str, str]:
    """Codec, ``from`` and ``to`` of an upgrade's query. Raises ``RemoteProtocolError`` naming the parameter."""
    given = dict(query)
    for name, value in given.items():
        if name not in QUERY:
            raise RemoteProtocolError(f"{name} is not known", rule="pcm-parameter")
        if len(value) > MAX_NAME or not value.isprintable():
            raise RemoteProtocolError(f"{name} is too long or not printable", rule="pcm-parameter")
    try:
        codec = StreamCodec(given.get("format", "pcm16"), int(given.get("rate", "8000")))
    except ValueError:
        raise RemoteProtocolError("format and rate name no codec that we speak", rule="pcm-codec") from None
    return codec, given.get("from", "client"), given.get("to", "agent")


def parse_message(text: str) -> dict[str, str]:
    """A client's message. Raises ``RemoteProtocolError`` naming what is wrong."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise RemoteProtocolError("the message is not JSON", rule="pcm-json") from None
    kind = body.get("type") if isinstance(body, dict) else None
    if not isinstance(kind, str) or kind not in FIELDS:
        raise RemoteProtocolError(f"type must be one of {', '.join(FIELDS)}", rule="pcm-type")
    if body.keys() - {"type"} != FIELDS[kind]:
        raise RemoteProtocolError(f"fields of {kind}: {', '.join(sorted(FIELDS[kind])) or 'none'}", rule="pcm-field")
    if kind == "dtmf" and not (isinstance(body["digit"], str) and body["digit"] in DIGITS):
        raise RemoteProtocolError("digit must be one of 0-9 * # A-D", rule="pcm-digit")
    if kind == "say" and not _may_be_said(body["text"]):
        raise RemoteProtocolError(f"text must be a printable text of 1 to {MAX_SAID} characters", rule="pcm-text")
    return dict(body)


def _may_be_said(text: Any) -> bool:
    return isinstance(text, str) and 0 < len(text) <= MAX_SAID and is_clean(text)


class PcmDoor:
    """Implements ``telephony.stream_door.Door``."""

    name = "pcm"
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
        source = source_of(request)
        try:
            codec, from_uri, to_uri = parse_query(request.query.items())
        except RemoteProtocolError as error:
            desk.refused(self.name, source, error.rule, str(error))
            return web.Response(status=400, text=f"{error}\n")
        wire = StreamSocket()
        await wire.prepare(request)
        peer = PcmPeer(wire, desk, self, source)
        peer.use(codec, codec.bytes_per_s // 50)
        try:
            peer.call = desk.offer(peer, door=self, source=source, from_uri=from_uri, to_uri=to_uri)
        except MediaError as error:
            wire.close(refusal_code(503), str(error))
        how = await wire.run(peer.received, audio_bytes_per_s=codec.bytes_per_s)
        peer.gone(how)
        return wire.response


class PcmPeer(SocketPeer):
    """Implements ``telephony.stream_door.Peer``."""

    # --- client ---------------------------------------------------------------------------------------------

    def received(self, data: str | bytes) -> None:
        """One message of the client."""
        if isinstance(data, bytes):
            self.hear(data)
            return
        try:
            self._do(parse_message(data))
        except RemoteProtocolError as error:
            self._tell("error", rule=error.rule, message=str(error))
            if not self.note_error(error.rule, str(error)):
                self.wire.close(BAD_MESSAGE, "too many bad messages")

    def _do(self, message: dict[str, str]) -> None:
        if self.call is None:
            return
        match message["type"]:
            case "dtmf":
                self.call.key(message["digit"])
            case "say":
                self.call.append("commentary", message["text"])
            case "mute" | "unmute":
                self.call.mute(message["type"] == "mute")
            case "end":
                self.call.end()
                self.ended("client")

    # --- edge -----------------------------------------------------------------------------------------------

    def answered(self) -> None:
        if self.call is None:
            return
        format_, rate = self.codec.kind, self.codec.rate_hz
        self._tell("hello", call_id=self.call.leg_id, format=format_, rate=rate, frame_ms=20)
        self.call.opened()

    def refused(self, status: int, reason: str, retry_after_s: int | None) -> None:
        self._tell("end", reason="refused", status=status, message=reason, retry_after_s=retry_after_s)
        self.wire.close(refusal_code(status), reason)

    def play(self, pcm: NDArray[np.int16], frame_no: int) -> None:
        self.wire.send_audio(self.codec.encode(pcm))

    def clear(self) -> None:
        super().clear()
        self._tell("clear")

    def send_dtmf(self, digits: str) -> None:
        self._tell("dtmf", digits=digits)

    def notify(self, at_ms: int, kind: str, data: dict[str, Any]) -> None:
        if kind == "dtmf":
            return  # the client's own key
        self._tell(kind, at_ms=at_ms, **data)
        if kind == "utterance" and data.get("phase") == "ended":
            self._tell("heard", at_ms=at_ms, text=data.get("heard", ""), unheard=data.get("unheard", ""))

    def ended(self, reason: str) -> None:
        self._tell("end", reason=reason)
        self.wire.close(1001 if reason == "shutdown" else 1000, reason)

    def _tell(self, kind: str, **fields: Any) -> None:
        self.wire.send_text(json.dumps({"type": kind, **fields}, separators=(",", ":")))
