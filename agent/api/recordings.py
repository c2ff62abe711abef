"""Recordings over HTTP: which file is a call's, parts of it, and the peaks that draw it.

A path never comes from a request: it is the one that the call's own ``recording.ready`` names, and it must lie in the
configured folder.
"""

from __future__ import annotations

import re
import wave
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from agent.events.names import WebhookEvent
from agent.store.interface import StoredEvent

BLOCK_BYTES: Final = 64 * 1024
_READ_FRAMES: Final = 1 << 18
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def recording_of(events: Sequence[StoredEvent], folder: Path, part: int | None = None) -> Path | None:
    """The file of a call's recording, where it is there. ``part``: of a call that moved, from 1; ``None``: the last."""
    told = [event.data.get("path", "") for event in events if event.name == WebhookEvent.RECORDING_READY]
    at = len(told) if part is None else part
    if not 1 <= at <= len(told) or not told[at - 1]:
        return None
    path = Path(told[at - 1]).resolve()
    return path if path.is_relative_to(folder.resolve()) and path.suffix == ".wav" and path.is_file() else None


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes ``start`` to ``end``, both included."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start + 1


def asked_part(header: str | None, size: int) -> Part | None:
    """The one range of a ``Range`` header (RFC 9110 §14.2), or ``None`` where the whole file is to be sent.

    Raises ``ValueError`` for a range that begins after the end.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        last = int(found[2])
        if last == 0 or size == 0:
            raise ValueError("an empty range")
        return Part(max(0, size - last), size - 1)
    start, end = int(found[1]), min(int(found[2]), size - 1) if found[2] else size - 1
    if found[2] and int(found[2]) < start:
        return None  # not a range at all: ignored (§14.1.1)
    if start >= size:
        raise ValueError("the range begins after the end")
    return Part(start, end)


async def blocks(file: BinaryIO, part: Part, run: Any) -> AsyncIterator[bytes]:
    """The part in blocks, each read by ``run`` (``asyncio.to_thread``)."""
    await run(file.seek, part.start)
    left = part.size
    while left > 0:
        block: bytes = await run(file.read, min(BLOCK_BYTES, left))
        if not block:
            return
        left -= len(block)
        yield block


def waveform(path: Path, points: int, from_ms: int = 0, to_ms: int | None = None) -> dict[str, Any]:
    """Peaks 0..1 of both channels in ``points`` stretches of equal length, of the whole or of a part.

    Raises ``OSError`` or ``wave.Error``.
    """
    with wave.open(str(path), "rb") as sound:
        whole, rate, channels = sound.getnframes(), sound.getframerate(), sound.getnchannels()
        if channels != 2 or sound.getsampwidth() != 2:
            raise wave.Error("not a two-channel recording of 16 bits")
        first = min(from_ms * rate // 1000, whole)
        frames = (whole if to_ms is None else min(to_ms * rate // 1000, whole)) - first
        points = max(1, min(points, frames))
        edges = np.linspace(0, max(0, frames), points + 1).astype(np.int64)
        peaks = np.zeros((points, 2))
        sound.setpos(first)
        at = 0
        while at < frames:
            block = np.frombuffer(sound.readframes(min(_READ_FRAMES, frames - at)), "<i2").reshape(-1, 2)
            if not len(block):
                break
            _raise_peaks(peaks, np.abs(block.astype(np.int32)), edges, at)
            at += len(block)
    scaled = np.round(np.minimum(peaks / 32768, 1.0), 3)
    return {
        "duration_ms": whole * 1000 // rate,
        "from_ms": first * 1000 // rate,
        "length_ms": max(0, frames) * 1000 // rate,
        "points": points,
        "caller": scaled[:, 0].tolist(),
        "agent": scaled[:, 1].tolist(),
    }


def _raise_peaks(peaks: Any, block: Any, edges: Any, at: int) -> None:
    """Peaks of the stretches that ``block`` (frames from ``at`` on) touches."""
    first = int(np.searchsorted(edges, at, "right")) - 1
    last = int(np.searchsorted(edges, at + len(block), "left"))
    starts = np.clip(edges[first:last] - at, 0, None)
    found = np.maximum.reduceat(block, starts, axis=0)
    peaks[first:last] = np.maximum(peaks[first:last], found)
