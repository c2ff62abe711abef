"""What a voice process and its owner say to each other: length-prefixed frames on a socket pair. Pure.

Frame: ``!IBI`` (length of the payload, kind, number of the request) and the payload.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.voice.engine import ClauseJob, Times
from agent.voice.protocol import WordTimes

HEAD: Final = struct.Struct("!IBI")
MOST_PAYLOAD: Final = 4 << 20


class Kind(IntEnum):
    READY = 1
    """The engine is warm. Request 0. JSON about its word times, from those that find them in their audio."""
    SPEAK = 2
    CANCEL = 3
    TIMES = 4
    """int32 pairs ``start, end``: all words of the clause. Before its audio; some voices correct them behind it."""
    AUDIO = 5
    """int16 at 8 kHz, little endian."""
    END = 6
    """UTF-8: why the clause's word times stayed estimated, where they should have been found in its audio."""
    FAILED = 7
    """UTF-8 reason."""
    OPEN = 8
    """A call begins: its name. To voices that keep something for each call."""
    CLOSE = 9
    """It is over."""


@dataclass(frozen=True, slots=True)
class Frame:
    kind: Kind
    request: int
    payload: bytes


class FrameReader:
    """Bytes in, whole frames out."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Frames that ``data`` completes. Raises ``ValueError`` when the other side makes no sense."""
        self._held += data
        while len(self._held) >= HEAD.size:
            length, kind, request = HEAD.unpack_from(self._held)
            if length > MOST_PAYLOAD:
                raise ValueError(f"frame of {length} bytes")
            end = HEAD.size + length
            if len(self._held) < end:
                return
            payload = bytes(self._held[HEAD.size : end])
            del self._held[:end]
            yield Frame(Kind(kind), request, payload)


def pack(kind: Kind, request: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(len(payload), kind, request) + payload


def pack_job(request: int, job: ClauseJob, slack_ms: int = 0) -> bytes:
    """``slack_ms``: for how long the hearer still has audio to play."""
    body = {"words": job.words, "mark": job.mark, "first": job.first_word, "slack": slack_ms}
    return pack(Kind.SPEAK, request, json.dumps(body).encode())


def unpack_job(payload: bytes) -> tuple[ClauseJob, int]:
    """The job and its slack."""
    body = json.loads(payload)
    return ClauseJob(tuple(body["words"]), body["mark"], body["first"]), int(body["slack"])


def pack_ready(word_times: WordTimes, why: str) -> bytes:
    return pack(Kind.READY, 0, json.dumps({"word_times": word_times, "why": why}).encode())


def unpack_ready(payload: bytes) -> tuple[WordTimes, str] | None:
    """What kind of word times the process gives, and why; ``None`` from one that does not say."""
    if not payload:
        return None
    body = json.loads(payload)
    return body["word_times"], body["why"]


def pack_times(request: int, times: Times) -> bytes:
    return pack(Kind.TIMES, request, np.array(times, "<i4").tobytes())


def unpack_times(payload: bytes) -> Times:
    return tuple((start, end) for start, end in np.frombuffer(payload, "<i4").reshape(-1, 2).tolist())


def pack_audio(request: int, pcm: NDArray[np.int16]) -> bytes:
    return pack(Kind.AUDIO, request, pcm.astype("<i2", copy=False).tobytes())


def unpack_audio(payload: bytes) -> NDArray[np.int16]:
    return np.frombuffer(payload, "<i2").astype(np.int16, copy=False)
