"""Playout of one stream leg: caller audio that comes by TCP, in bursts and after stalls, as one frame per tick. Pure.

A stream loses and reorders nothing; only its timing is wrong. Bursts are learnt by themselves: a frame that is missing
is concealed, which moves the playing later by just what was needed. Delay goes down again by a silent frame now and
then, and all at once after a stall, when more has piled up than a burst explains. What is dropped then is the oldest.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from telephony.link import FRAME_SAMPLES

SAMPLES_PER_MS = 8
FRAME_MS = 20
START_MS = 40
"""Held back before the first frame, so that the next packet may be late."""
MAX_MS = 240
"""More than this in hand is the end of a stall (the burstiest client known sends 140 ms at once)."""
KEEP_MS = 20
"""Never needed in the last second: may go."""
_WINDOW = 50  # ticks over which the least that was in hand is looked at
_FORCE_TICKS = 50  # so long without a silent frame, and a loud one goes
_STOPPED_TICKS = 50  # a source silent this long has stopped: its gap is no loss
_CONCEALED_TICKS = 3
_CONCEAL_GAIN = 0.6
_SILENT_LEVEL = 120.0  # mean magnitude, about -49 dBFS
_MOST = 8000  # a second: more is not even kept until the next tick
_CAPACITY = 2 * _MOST


class StreamPlayout:
    """Audio of one leg between its socket and the tick; ``push`` when it comes, ``pop`` once per tick."""

    def __init__(self, *, start_ms: int = START_MS, max_ms: int = MAX_MS) -> None:
        self._start = start_ms * SAMPLES_PER_MS
        self._max = max_ms * SAMPLES_PER_MS
        self._line = np.zeros(_CAPACITY, np.int16)
        self._from = self._to = 0
        self._running = False
        self._waited = 0
        self._missing = 0
        self._usual = self._start
        self._levels: deque[int] = deque(maxlen=_WINDOW)
        self._excess_ticks = 0
        self._last = np.zeros(FRAME_SAMPLES, np.int16)
        self.received = 0
        """Samples that came."""
        self.dropped = 0
        """Samples dropped to get the delay down."""
        self.concealed = 0
        """Frames made up because none was there in time."""

    @property
    def level_ms(self) -> float:
        """What is in hand."""
        return (self._to - self._from) / SAMPLES_PER_MS

    def push(self, pcm: NDArray[np.int16]) -> None:
        """Take ``pcm`` (8 kHz, any length)."""
        self.received += len(pcm)
        if len(pcm) > _MOST:
            self.dropped += len(pcm) - _MOST
            pcm = pcm[-_MOST:]
        if (over := self._to - self._from + len(pcm) - _MOST) > 0:
            self._drop(over)
        self._make_room(len(pcm))
        self._line[self._to : self._to + len(pcm)] = pcm
        self._to += len(pcm)

    def pop(self) -> tuple[NDArray[np.int16], bool]:
        """The next frame ``[160]``, and whether it had to be made up."""
        self._usual = max(self._start, self._usual - SAMPLES_PER_MS)  # a burst is forgotten by 1 ms per tick
        if not self._running and not self._may_start():
            return np.zeros(FRAME_SAMPLES, np.int16), False
        if self._to - self._from < FRAME_SAMPLES:
            return self._conceal()
        self._missing = 0
        self._end_stall()
        self._trim()
        frame = self._line[self._from : self._from + FRAME_SAMPLES].copy()
        self._from += FRAME_SAMPLES
        self._levels.append(self._to - self._from)
        self._last = frame
        return frame, False

    def flush(self) -> None:
        """Forget what is in hand: the caller muted, or was put on hold."""
        self._from = self._to = 0
        self._running = False
        self._waited = 0
        self._levels.clear()

    def _may_start(self) -> bool:
        if self._to == self._from:
            return False
        self._waited += 1
        if self._to - self._from >= self._start or self._waited * FRAME_MS * SAMPLES_PER_MS > self._start:
            self._running, self._waited, self._missing = True, 0, 0
            self._levels.clear()
        return self._running

    def _conceal(self) -> tuple[NDArray[np.int16], bool]:
        self._missing += 1
        self._levels.clear()
        if self._missing > _STOPPED_TICKS:
            self.flush()
            return np.zeros(FRAME_SAMPLES, np.int16), False
        self.concealed += 1
        if self._missing > _CONCEALED_TICKS:
            return np.zeros(FRAME_SAMPLES, np.int16), True
        return (self._last * np.float32(_CONCEAL_GAIN**self._missing)).astype(np.int16), True

    def _end_stall(self) -> None:
        """What piled up while the line stood still is old: back to what is usual, at once."""
        level = self._to - self._from
        if level > self._max:
            self._drop(level - self._usual)
            self._levels.clear()
        else:
            self._usual = max(self._usual, level)

    def _trim(self) -> None:
        """Drop a frame that was not needed for a second: a silent one, or any after another second."""
        if len(self._levels) < _WINDOW or min(self._levels) < (KEEP_MS + FRAME_MS) * SAMPLES_PER_MS:
            self._excess_ticks = 0
            return
        self._excess_ticks += 1
        following = self._line[self._from : self._from + FRAME_SAMPLES]
        if self._excess_ticks > _FORCE_TICKS or np.abs(following.astype(np.int32)).mean() < _SILENT_LEVEL:
            self._drop(FRAME_SAMPLES)
            self._levels.clear()
            self._excess_ticks = 0

    def _drop(self, samples: int) -> None:
        self._from += samples
        self.dropped += samples

    def _make_room(self, samples: int) -> None:
        if self._to + samples <= _CAPACITY:
            return
        left = self._to - self._from
        self._line[:left] = self._line[self._from : self._to].copy()
        self._from, self._to = 0, left
