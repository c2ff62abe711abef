"""Messages of ConversationRelay, as Twilio defined and Telnyx repeated them: JSON objects with a ``type``. Pure.

To the customer's server: ``setup prompt dtmf interrupt error``. From it: ``text play sendDigits language end``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

MOST_TOKEN: Final = 8192
MOST_DIGITS: Final = 64
_DIGITS: Final = re.compile(r"[0-9A-D*#wW]+")
_NOT_INTERRUPTIBLE: Final = (False, "none", "false")


class BadMessage(ValueError):
    """A message that the protocol does not have; the text tells the server why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A piece of what is to be said; ``last`` ends a talk cycle."""

    token: str
    last: bool = False
    interruptible: bool = True
    preemptible: bool = False
    """The next talk cycle may take its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDigits:
    digits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    tts: str
    transcription: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    handoff: str = ""


Message = Text | Play | SendDigits | Language | End


def parse(text: str) -> Message:
    """Raises ``BadMessage``."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessage("not valid JSON") from None
    if not isinstance(document, dict):
        raise BadMessage("not a JSON object")
    match document.get("type"):
        case "text":
            return _text(document)
        case "play":
            return Play(source=_string(document, "source")[:500])
        case "sendDigits":
            digits = _string(document, "digits")
            if not _DIGITS.fullmatch(digits) or len(digits) > MOST_DIGITS:
                raise BadMessage("sendDigits: digits must be 1 to 64 of 0-9 A-D * # w W")
            return SendDigits(digits=digits)
        case "language":
            return Language(
                tts=str(document.get("ttsLanguage", "")), transcription=str(document.get("transcriptionLanguage", ""))
            )
        case "end":
            handoff = document.get("handoffData", "")
            return End(handoff=handoff if isinstance(handoff, str) else json.dumps(handoff))
        case other:
            raise BadMessage(f"unknown type {str(other)[:40]!r}; known: text, play, sendDigits, language, end")


def _text(document: dict[str, Any]) -> Text:
    token = _string(document, "token")
    if len(token) > MOST_TOKEN:
        raise BadMessage(f"text: token of more than {MOST_TOKEN} characters")
    return Text(
        token=token,
        last=document.get("last") in (True, "true"),
        interruptible=document.get("interruptible", True) not in _NOT_INTERRUPTIBLE,
        preemptible=document.get("preemptible") in (True, "true"),
    )


def _string(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise BadMessage(f"{document['type']}: {name} must be a text")
    return value


def setup(
    *, session_id: str, call_id: str, from_uri: str, to_uri: str, parameters: dict[str, Any], resumed: bool
) -> str:
    """The first message of a connection. ``resumed``: not the first one of this call."""
    custom = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
    return _encode(
        "setup",
        sessionId=session_id,
        accountSid="",
        callSid=call_id,
        parentCallSid="",
        **{"from": from_uri},
        to=to_uri,
        forwardedFrom="",
        callerName="",
        direction="inbound",
        callType="SIP",
        callStatus="IN_PROGRESS" if resumed else "RINGING",
        customParameters=custom,
    )


def prompt(text: str, language: str, *, last: bool) -> str:
    return _encode("prompt", voicePrompt=text, lang=language, last=last)


def dtmf(digit: str) -> str:
    return _encode("dtmf", digit=digit)


def interrupt(heard: str, after_ms: int) -> str:
    return _encode("interrupt", utteranceUntilInterrupt=heard, durationUntilInterruptMs=after_ms)


def error(description: str) -> str:
    return _encode("error", description=description)


def _encode(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields}, ensure_ascii=False, default=str)
