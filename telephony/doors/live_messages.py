"""Messages of the live session protocol (OpenAI's GPT-Live over a WebSocket). Pure: JSON in, what it asks out.

Read from the protocol's public description and from the client of Pipecat 1.14: the first message is ``session.start``,
sent once; unknown fields are refused; an error names its ``code``, ``param`` and the ``client_event_id`` it answers.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Any

from telephony.doors.texts import is_clean

FORMATS: dict[str, tuple[str, tuple[int, ...]]] = {
    "audio/pcm": ("pcm16", (24000, 16000)),
    "audio/pcmu": ("pcmu", (8000,)),
    "audio/pcma": ("pcma", (8000,)),
}
"""Format to our codec's name and the rates that it may have, the default first."""
MAX_INPUT_ITEMS = 128
MAX_INSTRUCTION_TOKENS = 16384
MAX_APPEND_TOKENS = 500
MAX_NAME = 256
CHANNELS = ("instructions", "thinking", "commentary")


class LiveError(Exception):
    """A message that cannot be used."""

    def __init__(self, code: str, message: str, *, param: str = "", client_event_id: str = "") -> None:
        super().__init__(message)
        self.code, self.param, self.client_event_id = code, param, client_event_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """``session.start``."""

    model: str
    codec: str
    rate_hz: int
    session: dict[str, Any]
    """As it is told back: what was given, with its defaults."""
    texts: tuple[tuple[str, str], ...] = ()
    """Channel and text of what the session begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of the client."""

    kind: str
    """Its ``type`` without ``session.``; ``start update input_audio.append input_audio.mute …``."""
    event_id: str = ""
    audio: bytes = b""
    text: str = ""
    start: Start | None = field(default=None)


def estimated_tokens(text: str) -> int:
    """About four characters of ASCII a token, and one for each other character, as clients of the protocol count."""
    return (sum(1 if char.isascii() else 4 for char in text) + 3) // 4


def parse(text: str | bytes) -> Message:
    """One message. Raises ``LiveError``."""
    if isinstance(text, bytes):
        raise LiveError("invalid_message", "messages are JSON texts, not binary")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise LiveError("invalid_json", "the message is not JSON") from None
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise LiveError("invalid_message", "the message is not an object with a type", param="type")
    event_id = body.get("event_id", "")
    if not isinstance(event_id, str) or len(event_id) > MAX_NAME:
        raise LiveError("invalid_value", "event_id must be a short text", param="event_id")
    try:
        return _parse(body, event_id)
    except LiveError as error:
        error.client_event_id = event_id
        raise


def _parse(body: dict[str, Any], event_id: str) -> Message:
    kind: str = body["type"]
    name = kind.removeprefix("session.")
    if kind == "session.start":
        _known(body, {"session"})
        return Message(kind=name, event_id=event_id, start=_start(_object(body, "session", "")))
    if kind == "session.update":
        _known(body, {"session"})
        session = _object(body, "session", "")
        _known(session, {"delegation"}, "session.", extra=())
        if "delegation" in session:
            _delegation(session)
        return Message(kind=name, event_id=event_id)
    if kind == "session.input_audio.append":
        _known(body, {"audio"})
        return Message(kind=name, event_id=event_id, audio=_audio(body))
    if kind in ("session.input_audio.mute", "session.input_audio.unmute", "session.close"):
        _known(body, set())
        return Message(kind=name, event_id=event_id)
    if kind in {f"session.{channel}.append" for channel in CHANNELS}:
        _known(body, {"delegation_id", "content"})
        return Message(kind=name, event_id=event_id, text=_append(body))
    if kind in ("response.item.create", "response.create"):
        raise LiveError("invalid_delegation_mode", f"{kind[:40]} needs responses delegation", param="type")
    raise LiveError("unknown_event", f"no event {kind[:60]!r}", param="type")


def _start(session: dict[str, Any]) -> Start:
    _known(
        session, {"model", "instructions", "audio", "delegation", "input", "store"}, "session.", extra=()
    )  # fmt: skip
    model = _text(session, "model", "session.", limit=MAX_NAME, needed=True)
    instructions = _text(session, "instructions", "session.", limit=8 * MAX_INSTRUCTION_TOKENS)
    if estimated_tokens(instructions) > MAX_INSTRUCTION_TOKENS:
        raise LiveError(
            "too_long", f"more than {MAX_INSTRUCTION_TOKENS} tokens", param="session.instructions"
        )  # fmt: skip
    type_, rate, voice = _audio_config(session)
    if "delegation" in session:
        _delegation(session)
    if not isinstance(session.get("store", False), bool):
        raise LiveError("invalid_value", "store must be true or false", param="session.store")
    texts = [("instructions", instructions)] if instructions else []
    texts += [("instructions" if role == "developer" else "thinking", text) for role, text in _input(session)]
    told = {
        "model": model,
        "audio": {"format": {"type": type_, "rate": rate}, "output": {"voice": voice}},
        "delegation": {"type": "client"},
    }
    if instructions:
        told["instructions"] = instructions
    return Start(model=model, codec=FORMATS[type_][0], rate_hz=rate, session=told, texts=tuple(texts))


def _audio_config(session: dict[str, Any]) -> tuple[str, int, str]:
    audio = _object(session, "audio", "session.", needed=False)
    _known(audio, {"format", "output"}, "session.audio.", extra=())
    output = _object(audio, "output", "session.audio.", needed=False)
    _known(output, {"voice"}, "session.audio.output.", extra=())
    voice = _text(output, "voice", "session.audio.output.", limit=MAX_NAME)
    wanted = _object(audio, "format", "session.audio.", needed=False)
    _known(wanted, {"type", "rate"}, "session.audio.format.", extra=())
    type_ = wanted.get("type", "audio/pcm")
    if not isinstance(type_, str) or type_ not in FORMATS:
        raise LiveError(
            "unsupported_format", f"type must be one of {', '.join(FORMATS)}", param="session.audio.format.type"
        )  # fmt: skip
    rates = FORMATS[type_][1]
    rate = wanted.get("rate", rates[0])
    if isinstance(rate, bool) or rate not in rates:
        raise LiveError(
            "unsupported_format", f"rate must be one of {', '.join(map(str, rates))}", param="session.audio.format.rate"
        )  # fmt: skip
    return type_, rate, voice


def _delegation(session: dict[str, Any]) -> None:
    delegation = _object(session, "delegation", "session.")
    _known(delegation, {"responses"}, "session.delegation.", extra=("type",))
    if delegation.get("type") != "client":
        raise LiveError(
            "unsupported_delegation", "the agent's own brain works here: type must be client",
            param="session.delegation.type",
        )  # fmt: skip
    if "responses" in delegation:
        raise LiveError("unknown_parameter", "not with client delegation", param="session.delegation.responses")


def _input(session: dict[str, Any]) -> list[tuple[str, str]]:
    items = session.get("input", [])
    if not isinstance(items, list) or len(items) > MAX_INPUT_ITEMS:
        raise LiveError("invalid_value", f"input must be a list of at most {MAX_INPUT_ITEMS}", param="session.input")
    return [_item(item, f"session.input[{at}]") for at, item in enumerate(items)]


def _item(item: Any, path: str) -> tuple[str, str]:
    if not isinstance(item, dict):
        raise LiveError("invalid_value", "must be an object", param=path)
    _known(item, {"role", "content"}, f"{path}.", extra=("type",))
    role, content = item.get("role"), item.get("content")
    if item.get("type") != "message" or role not in ("developer", "user", "assistant"):
        raise LiveError("invalid_value", "must be a message of a developer, user or assistant", param=f"{path}.role")
    if not isinstance(content, list) or len(content) != 1 or not isinstance(content[0], dict):
        raise LiveError("invalid_value", "content must be one part", param=f"{path}.content")
    part = content[0]
    _known(part, {"text"}, f"{path}.content[0].", extra=("type",))
    if part.get("type") != ("output_text" if role == "assistant" else "input_text"):
        raise LiveError("invalid_value", "the part's type does not fit its role", param=f"{path}.content[0].type")
    text = _text(part, "text", f"{path}.content[0].", limit=8 * MAX_INSTRUCTION_TOKENS, needed=True)
    return role, text


def _audio(body: dict[str, Any]) -> bytes:
    audio = body.get("audio")
    if not isinstance(audio, str):
        raise LiveError("invalid_value", "audio must be a base64 text", param="audio")
    try:
        return base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        raise LiveError("invalid_value", "audio is not valid base64", param="audio") from None


def _append(body: dict[str, Any]) -> str:
    if "delegation_id" not in body or not isinstance(body["delegation_id"], str | None):
        raise LiveError("missing_parameter", "delegation_id must be a text or null", param="delegation_id")
    text = _text(body, "content", "", limit=8 * MAX_APPEND_TOKENS, needed=True)
    if estimated_tokens(text) > MAX_APPEND_TOKENS:
        raise LiveError("too_long", f"more than {MAX_APPEND_TOKENS} tokens", param="content")
    return text


def _known(
    body: dict[str, Any], names: set[str], path: str = "", *, extra: tuple[str, ...] = ("type", "event_id")
) -> None:
    for name in body:
        if name not in names and name not in extra:
            raise LiveError("unknown_parameter", f"no field {name[:60]!r} here", param=f"{path}{name[:60]}")


def _object(body: dict[str, Any], name: str, path: str, *, needed: bool = True) -> dict[str, Any]:
    if name not in body and not needed:
        return {}
    found = body.get(name)
    if not isinstance(found, dict):
        code = "invalid_value" if name in body else "missing_parameter"
        raise LiveError(code, f"{name} must be an object", param=f"{path}{name}")
    return found


def _text(body: dict[str, Any], name: str, path: str, *, limit: int, needed: bool = False) -> str:
    if name not in body and not needed:
        return ""
    found = body.get(name)
    if not isinstance(found, str) or len(found) > limit or (needed and not found) or not is_clean(found):
        code = "invalid_value" if name in body else "missing_parameter"
        raise LiveError(code, f"{name} must be a printable text of at most {limit} characters", param=f"{path}{name}")
    return found
