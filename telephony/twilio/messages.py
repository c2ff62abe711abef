"""Frames of a media stream: JSON text to messages and back. Pure.

Bad input raises ``RemoteProtocolError`` that names the field; nothing else leaves this module.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

from telephony.errors import RemoteProtocolError
from telephony.twilio.dialect import ENCODINGS, TWILIO, Dialect, Kind, Path

MAX_MESSAGE_BYTES = 64 * 1024
MAX_PAYLOAD_BYTES = 8000
"""One second of G.711: carriers send 20 ms, and bursts are many messages, not long ones."""
MAX_PARAMETERS = 32
MAX_VALUE_CHARS = 500
"""Of one custom parameter (Twilio's own limit for name and value together)."""
KEYS = "0123456789*#ABCD"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_ID = re.compile(r"[\x21-\x7e]{1,256}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """The carrier's first word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What this stream carries."""

    sequence: int
    stream_id: str
    call_id: str
    account_id: str
    parameters: tuple[tuple[str, str], ...]
    alaw: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """Audio of the caller."""

    sequence: int
    chunk: int
    """Number of the media message, from 1."""
    timestamp_ms: int
    """Since the stream began."""
    payload: bytes
    """G.711."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Everything before the mark of this name was played, or cleared."""

    sequence: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dtmf:
    """A key."""

    sequence: int
    digit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The stream is over."""

    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Known, and of no consequence (Plivo's ``clearedAudio``, Telnyx' ``error``), or an event of a later version."""

    event: str


Message = Connected | Start | Media | Mark | Dtmf | Stop | Other


def parse(text: str | bytes, dialect: Dialect = TWILIO) -> Message:
    """One message. Raises ``RemoteProtocolError`` naming the field and the rule."""
    if len(text) > MAX_MESSAGE_BYTES:
        raise _wrong("message", f"is longer than {MAX_MESSAGE_BYTES} bytes", "stream-message-size")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise _wrong("message", "is not JSON", "stream-json") from None
    if not isinstance(body, dict):
        raise _wrong("message", "is not an object", "stream-json")
    event = body.get("event")
    if not isinstance(event, str) or len(event) > 64:
        raise _wrong("event", "must be a text", "stream-field")
    match dialect.kinds.get(event):
        case Kind.CONNECTED:
            return Connected()
        case Kind.START:
            return _start(body, dialect)
        case Kind.MEDIA:
            return _media(body, dialect)
        case Kind.MARK:
            return Mark(sequence=_sequence(body, dialect), name=_text(body, dialect.mark_name, limit=256))
        case Kind.DTMF:
            return _dtmf(body, dialect)
        case Kind.STOP:
            return Stop(sequence=_sequence(body, dialect))
        case _:
            return Other(event=event)


def media(payload: bytes, stream_id: str, dialect: Dialect = TWILIO) -> str:
    """Audio for the caller, of any length, G.711 without a file header."""
    body: dict[str, Any] = {"event": dialect.media_event}
    if dialect.media_has_stream_id:
        body[dialect.stream_id_key] = stream_id
    body["media"] = {**dialect.media_extra, "payload": base64.b64encode(payload).decode("ascii")}
    return _dump(body)


def mark(name: str, stream_id: str, dialect: Dialect = TWILIO) -> str:
    """Ask to be told when everything sent so far was played."""
    body = _command(dialect.mark_event, stream_id, dialect)
    *outer, last = dialect.mark_name
    inner: dict[str, Any] = body
    for key in outer:
        inner = inner.setdefault(key, {})
    inner[last] = name
    return _dump(body)


def clear(stream_id: str, dialect: Dialect = TWILIO) -> str:
    """Empty the carrier's buffer."""
    return _dump(_command(dialect.clear_event, stream_id, dialect))


# --- fields ---------------------------------------------------------------------------------------------------------


def _start(body: dict[str, Any], dialect: Dialect) -> Start:
    encoding = _text(body, dialect.encoding, limit=64)
    if encoding not in ENCODINGS:
        raise _wrong(_name(dialect.encoding), f"{encoding!r} is not a codec of ours", "stream-codec")
    rate = _number(body, dialect.rate, high=1_000_000)
    if rate != 8000:
        raise _wrong(_name(dialect.rate), f"must be 8000, is {rate}", "stream-codec")
    return Start(
        sequence=_sequence(body, dialect),
        stream_id=_id(body, dialect.stream_id),
        call_id=_id(body, dialect.call_id),
        account_id=_id(body, dialect.account_id),
        parameters=_parameters(_at(body, dialect.parameters), _name(dialect.parameters)),
        alaw=ENCODINGS[encoding],
    )


def _media(body: dict[str, Any], dialect: Dialect) -> Message:
    track = _at(body, dialect.track)
    if track not in (None, "inbound"):
        return Other(event=f"media of track {str(track)[:32]!r}")
    encoded = _at(body, dialect.payload)
    if not isinstance(encoded, str) or not encoded:
        raise _wrong(_name(dialect.payload), "must be a text", "stream-field")
    if len(encoded) > MAX_PAYLOAD_BYTES * 4 // 3 + 4:
        raise _wrong(_name(dialect.payload), f"holds more than {MAX_PAYLOAD_BYTES} bytes", "stream-payload-size")
    try:
        payload = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong(_name(dialect.payload), "is not base64", "stream-payload") from None
    return Media(
        sequence=_sequence(body, dialect),
        chunk=_number(body, dialect.chunk),
        timestamp_ms=_number(body, dialect.timestamp, high=1 << 53),
        payload=payload,
    )


def _dtmf(body: dict[str, Any], dialect: Dialect) -> Dtmf:
    digit = _text(body, dialect.digit, limit=8)
    if len(digit) != 1 or digit not in KEYS:
        raise _wrong(_name(dialect.digit), f"{digit!r} is not a key", "stream-field")
    return Dtmf(sequence=_sequence(body, dialect), digit=digit)


def _parameters(value: Any, name: str) -> tuple[tuple[str, str], ...]:
    pairs = _pairs(value, name)
    if len(pairs) > MAX_PARAMETERS:
        raise _wrong(name, f"has more than {MAX_PARAMETERS} entries", "stream-parameters")
    for key, item in pairs:
        if not isinstance(key, str) or not _NAME.match(key):
            raise _wrong(name, "has a name that is not of letters, digits, '.', '_' and '-'", "stream-parameters")
        if not isinstance(item, str) or len(item) > MAX_VALUE_CHARS or not item.isprintable():
            raise _wrong(f"{name}.{key}", "must be a printable text of at most 500 characters", "stream-parameters")
    return tuple((str(key), str(item)) for key, item in pairs)


def _pairs(value: Any, name: str) -> list[tuple[Any, Any]]:
    """Twilio and Telnyx send an object; Plivo a text: JSON, or ``a=1;b=2``."""
    if value is None or value == "":
        return []
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise _wrong(name, "is not JSON", "stream-parameters") from None
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, str):
        parts = [part.partition("=") for part in re.split(r"[;,]", value) if part.strip()]
        return [(key.strip(), item.strip()) for key, _, item in parts]
    raise _wrong(name, "must be an object of texts", "stream-parameters")


def _sequence(body: dict[str, Any], dialect: Dialect) -> int:
    """0 where the carrier sends none (Plivo's ``playedStream``)."""
    if _at(body, dialect.sequence) is None and dialect.name != TWILIO.name:
        return 0
    return _number(body, dialect.sequence)


def _at(body: dict[str, Any], path: Path) -> Any:
    value: Any = body
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _text(body: dict[str, Any], path: Path, *, limit: int) -> str:
    value = _at(body, path)
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise _wrong(_name(path), f"must be a text of 1 to {limit} characters", "stream-field")
    return value


def _id(body: dict[str, Any], path: Path) -> str:
    value = _at(body, path)
    if not isinstance(value, str) or not _ID.match(value):
        raise _wrong(_name(path), "must be a name of 1 to 256 visible characters", "stream-field")
    return value


def _number(body: dict[str, Any], path: Path, *, high: int = 1 << 31) -> int:
    """Twilio and Telnyx write numbers as texts, Plivo as numbers."""
    value = _at(body, path)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= high:
        raise _wrong(_name(path), f"must be a whole number from 0 to {high}", "stream-field")
    return value


def _command(event: str, stream_id: str, dialect: Dialect) -> dict[str, Any]:
    body: dict[str, Any] = {"event": event}
    if dialect.stream_id_key:
        body[dialect.stream_id_key] = stream_id
    return body


def _dump(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"))


def _name(path: Path) -> str:
    return ".".join(path)


def _wrong(field: str, why: str, rule: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"{field} {why}", rule=rule)
