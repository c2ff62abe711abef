"""Control channel between a front and an edge: ``u32 length | JSON`` (little endian) over a Unix socket.

A request is ``{"id": n, "cmd": name, "leg": leg_id, …}``; every request gets exactly one answer with its id,
``{"id": n, "ok": true, …}`` or ``{"id": n, "ok": false, "rule": slug, "error": text}``. News of a leg is an object
with an ``event`` and no id. Bad messages are answered, never fatal; only a broken length ends the connection.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from telephony.errors import RemoteProtocolError
from telephony.events import DtmfReceived, LegEvent, MediaQuality, MediaTimeout
from telephony.media import LegMedia
from telephony.plane import SeatAddress

_LENGTH = struct.Struct("<I")
MAX_MESSAGE_BYTES = 256 * 1024
COMMANDS = ("reserve", "open", "update", "route", "send_dtmf", "close", "stats")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLatched(LegEvent):
    """The edge has locked on to the source of the peer's audio (RFC 7362)."""

    address: str
    """``ip:port`` that packets come from and go to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLost(LegEvent):
    """The worker of the leg's seat is gone: the leg sends silence until it is routed anew or the worker is back."""

    worker: str


def pack_message(body: dict[str, Any]) -> bytes:
    """One control message as bytes."""
    text = json.dumps(body, separators=(",", ":")).encode()
    return _LENGTH.pack(len(text)) + text


class ControlReader:
    """Cuts a byte stream into control messages. Pure: feed it what the socket gave."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the JSON text of each whole message; raises ``RemoteProtocolError`` on an impossible length."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if not 1 <= length <= MAX_MESSAGE_BYTES:
                raise RemoteProtocolError(f"control message of {length} bytes", rule="edge-message-length")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            text = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield text


def parse_object(text: bytes) -> dict[str, Any]:
    """JSON object of one message; raises ``RemoteProtocolError`` if it is anything else."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise RemoteProtocolError("control message is not JSON", rule="edge-message-json") from None
    if not isinstance(body, dict):
        raise RemoteProtocolError("control message is not an object", rule="edge-message-object")
    return body


def media_to_json(media: LegMedia) -> dict[str, Any]:
    """``LegMedia`` as a JSON object."""
    return asdict(media)


def media_from_json(body: Any) -> LegMedia:
    """``LegMedia`` out of a JSON object; raises ``RemoteProtocolError`` naming the field that is wrong."""
    if not isinstance(body, dict):
        raise RemoteProtocolError("media is not an object", rule="edge-media-object")
    known = {item.name for item in fields(LegMedia)}
    for name in body:
        if name not in known:
            raise RemoteProtocolError(f"media.{name} is not known", rule="edge-media-field")
    dtmf = body.get("dtmf_payload_type")
    return LegMedia(
        codec=_one_of(body, "codec", ("PCMU", "PCMA")),
        payload_type=_number(body, "payload_type", 0, 127),
        dtmf_payload_type=None if dtmf is None else _number(body, "dtmf_payload_type", 0, 127),
        remote=_address(body.get("remote")),
        signalling_ip=_text(body, "signalling_ip"),
        ptime_ms=_one_of(body | {"ptime_ms": body.get("ptime_ms", 20)}, "ptime_ms", (20, 40, 60)),
        send=_flag(body, "send"),
        receive=_flag(body, "receive"),
    )


def seat_to_json(seat: SeatAddress) -> dict[str, Any]:
    """``SeatAddress`` as a JSON object."""
    return asdict(seat)


def seat_from_json(body: Any) -> SeatAddress:
    """``SeatAddress`` out of a JSON object; raises ``RemoteProtocolError`` naming the field that is wrong."""
    if not isinstance(body, dict):
        raise RemoteProtocolError("seat is not an object", rule="edge-seat-object")
    return SeatAddress(
        worker=_text(body, "worker"),
        row=_number(body, "row", 0, 0xFFFF),
        seat=_number(body, "seat", 0, 0xFFFFFFFF),
    )


def event_from_json(body: dict[str, Any]) -> list[LegEvent]:
    """Leg events of one event message (``worker_lost`` tells of many legs at once); unknown events give none."""
    kind = body.get("event")
    if kind == "worker_lost":
        return [WorkerLost(leg_id=leg, worker=body["worker"]) for leg in body["legs"]]
    if kind == "dtmf":
        return [DtmfReceived(leg_id=body["leg"], digit=body["digit"], duration_ms=body["duration_ms"])]
    if kind == "timeout":
        return [MediaTimeout(leg_id=body["leg"], silent_s=body["silent_s"])]
    if kind == "latched":
        return [MediaLatched(leg_id=body["leg"], address=body["address"])]
    if kind == "quality":
        return [quality_from_json(body["leg"], body["quality"])]
    return []


def quality_from_json(leg_id: str, body: dict[str, Any]) -> MediaQuality:
    """``MediaQuality`` out of the counters that an edge sends."""
    return MediaQuality(leg_id=leg_id, **body)


def _number(body: dict[str, Any], name: str, low: int, high: int) -> int:
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise RemoteProtocolError(f"{name} must be a whole number from {low} to {high}", rule="edge-field-number")
    return value


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise RemoteProtocolError(f"{name} must be a text", rule="edge-field-text")
    return value


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, True)
    if not isinstance(value, bool):
        raise RemoteProtocolError(f"{name} must be true or false", rule="edge-field-flag")
    return value


def _one_of(body: dict[str, Any], name: str, allowed: tuple[Any, ...]) -> Any:
    value = body.get(name)
    if isinstance(value, bool) or value not in allowed:
        raise RemoteProtocolError(f"{name} must be one of {', '.join(map(str, allowed))}", rule="edge-field-choice")
    return value


def _address(value: Any) -> tuple[str, int] | None:
    if value is None:
        return None
    if isinstance(value, list | tuple) and len(value) == 2:
        ip, port = value
        if isinstance(ip, str) and isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65536:
            return ip, port
    raise RemoteProtocolError("remote must be [ip, port]", rule="edge-field-address")
