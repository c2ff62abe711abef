"""Wire format of audio between an edge and a worker: one message per phase tick with all its rows.

A frame is ``u32 length | u8 type | body`` (little endian); ``length`` counts type and body. The same bytes
travel over a Unix socket on one host and over TCP between hosts. Every frame of audio is 20 ms of 8 kHz
mono PCM16 (160 samples).

``seat`` numbers the claim on a row, ``epoch`` the stretch of agent audio inside a claim: a yield bumps it, and
an edge that sees a newer epoch drops whatever it still holds of an older one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import IntEnum, IntFlag
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from telephony.errors import RemoteProtocolError

FRAME_SAMPLES = 160
"""Samples of one 20 ms frame at 8 kHz."""
RESTARTED = 500
"""A tick number that is off by more than that is a new count, not a gap."""
MAX_FRAME_BYTES = 4 * 1024 * 1024
PROTOCOL = 2
AHEAD = 4
"""Agent frames of one row that may be on their way: one and more for the worker's own tick, the others for the link."""
ENOUGH = 2
"""Frames that wait at an edge for their tick: with one more they would only be delay."""
SENT_FRAMES = 32
"""Frames before ``played`` of which an edge tells, one by one, whether they have left."""
ALL_SENT = (1 << SENT_FRAMES) - 1

_LENGTH = struct.Struct("<I")
_HEAD = struct.Struct("<QdBH")  # tick, sent_at (sender's monotonic seconds), phase, rows
_ROW_BYTES_IN = 2 + 4 + 1 + 4 + 4 + 4 + 2 * FRAME_SAMPLES
_ROW_BYTES_OUT = 2 + 4 + 4 + 4 + 1 + 2 * FRAME_SAMPLES


class FrameType(IntEnum):
    HELLO = 1
    """JSON body: ``{"proto": 1, "edge": name, "phases": n}``, first frame in both directions."""
    IN = 2
    """Caller audio, edge to worker."""
    OUT = 3
    """Agent audio, worker to edge."""
    BYE = 4
    """Empty body: the sender closes in good order."""


class InFlag(IntFlag):
    CONCEALED = 1
    """The frame was lost and concealed."""
    HELD = 2
    """The leg is on hold: the audio is silence, timers rest."""
    FIRST = 4
    """First frame of this claim."""
    ENOUGH = 8
    """Agent audio enough waits for its tick: the next frame of it is wanted later."""


class OutFlag(IntFlag):
    SPEECH = 1
    """The agent speaks in this frame (it is not just silence)."""


@dataclass(slots=True)
class InBatch:
    """Caller audio of one phase tick. All arrays have one entry per row; ``pcm`` is ``[n, 160]`` int16."""

    tick: int
    phase: int
    sent_at: float
    """Edge's monotonic seconds at sending (same clock on one host)."""
    rows: NDArray[np.uint16]
    seats: NDArray[np.uint32]
    flags: NDArray[np.uint8]
    played: NDArray[np.uint32]
    """The last ``frame_no`` of this claim that has left on the wire, plus one."""
    sent: NDArray[np.uint32]
    """Which of the frames before it have left, too: bit ``i`` is frame ``played - 1 - i``. Not all need to have."""
    taken: NDArray[np.uint32]
    """The last ``frame_no`` that no longer waits for its tick, plus one: all before it is sent, or never will be."""
    pcm: NDArray[np.int16]

    def of(self, which: NDArray[np.bool_]) -> InBatch:
        """With the rows of ``which`` ``[n]`` alone."""
        return _of_rows(self, which)


@dataclass(slots=True)
class OutBatch:
    """Agent audio of one phase tick. All arrays have one entry per row; ``pcm`` is ``[n, 160]`` int16."""

    tick: int
    phase: int
    sent_at: float
    rows: NDArray[np.uint16]
    seats: NDArray[np.uint32]
    epochs: NDArray[np.uint32]
    frame_nos: NDArray[np.uint32]
    """Number of this frame in the claim, from 0, one more for each frame, silence included."""
    flags: NDArray[np.uint8]
    pcm: NDArray[np.int16]

    def of(self, which: NDArray[np.bool_]) -> OutBatch:
        """With the rows of ``which`` ``[n]`` alone."""
        return _of_rows(self, which)


Batch = TypeVar("Batch", InBatch, OutBatch)


def _of_rows(batch: Batch, which: NDArray[np.bool_]) -> Batch:
    arrays: dict[str, Any] = {}
    for one in fields(batch):
        value = getattr(batch, one.name)
        if isinstance(value, np.ndarray):
            arrays[one.name] = value[which]
    return replace(batch, **arrays)


def pack(kind: FrameType, body: bytes) -> bytes:
    """One frame as bytes."""
    return _LENGTH.pack(len(body) + 1) + bytes((kind,)) + body


def encode_in(batch: InBatch) -> bytes:
    """``InBatch`` as one frame."""
    n = len(batch.rows)
    body = _HEAD.pack(batch.tick, batch.sent_at, batch.phase, n)
    parts = (
        body,
        batch.rows.astype("<u2", copy=False).tobytes(),
        batch.seats.astype("<u4", copy=False).tobytes(),
        batch.flags.astype("u1", copy=False).tobytes(),
        batch.played.astype("<u4", copy=False).tobytes(),
        batch.sent.astype("<u4", copy=False).tobytes(),
        batch.taken.astype("<u4", copy=False).tobytes(),
        batch.pcm.astype("<i2", copy=False).tobytes(),
    )
    return pack(FrameType.IN, b"".join(parts))


def encode_out(batch: OutBatch) -> bytes:
    """``OutBatch`` as one frame."""
    n = len(batch.rows)
    parts = (
        _HEAD.pack(batch.tick, batch.sent_at, batch.phase, n),
        batch.rows.astype("<u2", copy=False).tobytes(),
        batch.seats.astype("<u4", copy=False).tobytes(),
        batch.epochs.astype("<u4", copy=False).tobytes(),
        batch.frame_nos.astype("<u4", copy=False).tobytes(),
        batch.flags.astype("u1", copy=False).tobytes(),
        batch.pcm.astype("<i2", copy=False).tobytes(),
    )
    return pack(FrameType.OUT, b"".join(parts))


def _head(body: bytes, row_bytes: int, name: str) -> tuple[int, float, int, int]:
    if len(body) < _HEAD.size:
        raise RemoteProtocolError(f"{name} frame shorter than its header", rule="link-short-header")
    tick, sent_at, phase, n = _HEAD.unpack_from(body)
    if len(body) != _HEAD.size + n * row_bytes:
        raise RemoteProtocolError(f"{name} frame of {n} rows has {len(body)} bytes", rule="link-row-count")
    return tick, sent_at, phase, n


def decode_in(body: bytes) -> InBatch:
    """Body of an ``IN`` frame; raises ``RemoteProtocolError`` on a wrong size."""
    tick, sent_at, phase, n = _head(body, _ROW_BYTES_IN, "IN")
    at = _HEAD.size
    rows = np.frombuffer(body, "<u2", n, at)
    seats = np.frombuffer(body, "<u4", n, at := at + 2 * n)
    flags = np.frombuffer(body, "u1", n, at := at + 4 * n)
    played = np.frombuffer(body, "<u4", n, at := at + n)
    sent = np.frombuffer(body, "<u4", n, at := at + 4 * n)
    taken = np.frombuffer(body, "<u4", n, at := at + 4 * n)
    pcm = np.frombuffer(body, "<i2", n * FRAME_SAMPLES, at + 4 * n).reshape(n, FRAME_SAMPLES)
    return InBatch(tick, phase, sent_at, rows, seats, flags, played, sent, taken, pcm)


def decode_out(body: bytes) -> OutBatch:
    """Body of an ``OUT`` frame; raises ``RemoteProtocolError`` on a wrong size."""
    tick, sent_at, phase, n = _head(body, _ROW_BYTES_OUT, "OUT")
    at = _HEAD.size
    rows = np.frombuffer(body, "<u2", n, at)
    seats = np.frombuffer(body, "<u4", n, at := at + 2 * n)
    epochs = np.frombuffer(body, "<u4", n, at := at + 4 * n)
    frame_nos = np.frombuffer(body, "<u4", n, at := at + 4 * n)
    flags = np.frombuffer(body, "u1", n, at := at + 4 * n)
    pcm = np.frombuffer(body, "<i2", n * FRAME_SAMPLES, at + n).reshape(n, FRAME_SAMPLES)
    return OutBatch(tick, phase, sent_at, rows, seats, epochs, frame_nos, flags, pcm)


class FrameReader:
    """Cuts a byte stream into frames. Pure: feed it what the socket gave."""

    def __init__(self, *, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self._max = max_frame_bytes

    def feed(self, data: bytes) -> Iterator[tuple[FrameType, bytes]]:
        """Yield each whole frame as ``(type, body)``; raises ``RemoteProtocolError`` on nonsense."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if not 1 <= length <= self._max:
                raise RemoteProtocolError(f"link frame of {length} bytes", rule="link-frame-length")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            kind_value, body = self._buffer[_LENGTH.size], bytes(self._buffer[_LENGTH.size + 1 : end])
            del self._buffer[:end]
            try:
                kind = FrameType(kind_value)
            except ValueError:
                raise RemoteProtocolError(f"link frame type {kind_value}", rule="link-frame-type") from None
            yield kind, body
