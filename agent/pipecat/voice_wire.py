"""What the owner of a voice host says to it: the wire of our own voices, with calls and texts. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from agent.voice.wire import Kind, pack


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakJob:
    """One clause of one call."""

    call: str
    """Whose pipeline speaks it; empty: that of phrases rendered ahead of time."""
    text: str
    """As the dialogue has it: services read numbers by themselves."""
    spoken: tuple[str, ...]
    """For each word of the text what is probably spoken for it, a comma behind it for a pause: for its times."""


def pack_speak(request: int, job: SpeakJob) -> bytes:
    return pack(Kind.SPEAK, request, json.dumps(asdict(job)).encode())


def unpack_speak(payload: bytes) -> SpeakJob:
    body = json.loads(payload)
    return SpeakJob(call=body["call"], text=body["text"], spoken=tuple(body["spoken"]))
