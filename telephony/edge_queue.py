"""Agent audio that waits for its tick: at most two frames per leg, arrays over legs. Pure.

The audio of an answer waits in the worker, where it can be taken back; here is only what covers the worker's own
tick. Older epochs are dropped wherever they are met.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telephony.link import FRAME_SAMPLES, OutBatch, OutFlag

DEPTH = 2
"""Frames per leg. A third drops the oldest: late audio is worse than lost audio."""
_SPARE_TICKS = 25  # a frame that was never needed for 0.5 s is only delay: it is dropped in silence …
_SPARE_TICKS_SPEECH = 60  # … and after 1.2 s in speech, once


@dataclass(slots=True)
class Popped:
    """What goes out in this tick; arrays are [n]."""

    pcm: NDArray[np.int16]
    """[n, 160]; zeros where there is no frame."""
    has: NDArray[np.bool_]
    speech: NDArray[np.bool_]


class AgentQueue:
    """Queues of ``rows`` legs."""

    def __init__(self, rows: int) -> None:
        self._pcm = np.zeros((rows, DEPTH, FRAME_SAMPLES), np.int16)
        self._frame_no = np.zeros((rows, DEPTH), np.int64)
        self._flags = np.zeros((rows, DEPTH), np.uint8)
        self._length = np.zeros(rows, np.int64)
        self._spare = np.zeros(rows, np.int64)
        self._epoch = np.full(rows, -1, np.int64)
        self._spoke = np.zeros(rows, np.bool_)
        self.seat = np.full(rows, -1, np.int64)
        """Number of the claim whose audio is taken; -1: none."""
        self.played = np.zeros(rows, np.int64)
        """Last frame number that was sent, plus one."""
        self.underruns = np.zeros(rows, np.int64)
        self.dropped = np.zeros(rows, np.int64)

    def seat_row(self, row: int, seat: int) -> None:
        """Take audio of another claim (-1: of none) from now on."""
        self.seat[row] = seat
        self._length[row] = self._spare[row] = self.played[row] = 0
        self._epoch[row] = -1
        self._spoke[row] = False

    def push(self, rows: NDArray[np.intp], batch: OutBatch, pick: NDArray[np.intp]) -> None:
        """Take frames ``pick`` [k] of ``batch`` for ``rows`` [k]; several frames of one row in their order."""
        while len(rows):
            # Each leg once per pass, so that array writes do not collide.
            _, first = np.unique(rows, return_index=True)
            self._push_once(rows[first], batch, pick[first])
            if len(first) == len(rows):
                return
            rest = np.ones(len(rows), np.bool_)
            rest[first] = False
            rows, pick = rows[rest], pick[rest]

    def _push_once(self, rows: NDArray[np.intp], batch: OutBatch, pick: NDArray[np.intp]) -> None:
        epoch = batch.epochs[pick].astype(np.int64)
        newer = epoch - self._epoch[rows]
        wanted = (batch.seats[pick] == self.seat[rows]) & (newer >= 0)
        if not wanted.all():
            self.dropped[rows[~wanted]] += 1
            rows, pick, epoch, newer = rows[wanted], pick[wanted], epoch[wanted], newer[wanted]
        self._length[rows[newer > 0]] = 0
        self._epoch[rows] = epoch
        full = rows[self._length[rows] == DEPTH]
        if len(full):
            self._shift(full)
            self.dropped[full] += 1
        at = self._length[rows]
        self._pcm[rows, at] = batch.pcm[pick]
        self._frame_no[rows, at] = batch.frame_nos[pick]
        self._flags[rows, at] = batch.flags[pick]
        self._length[rows] = at + 1

    def pop(self, n: int, sent: NDArray[np.bool_]) -> Popped:
        """One frame of each of the first ``n`` rows. ``sent`` [n]: whether the leg sends; else it is only dropped."""
        length = self._length[:n]
        has = length > 0
        speech = has & ((self._flags[:n, 0] & OutFlag.SPEECH) != 0)
        pcm = np.where(has[:, None], self._pcm[:n, 0], np.int16(0))
        counted = has & sent
        self.played[:n] = np.where(counted, self._frame_no[:n, 0] + 1, self.played[:n])
        self.underruns[:n] += ~has & self._spoke[:n] & sent
        self._spoke[:n] = speech
        rows = np.flatnonzero(has)
        self._shift(rows)
        self._drop_spare(n)
        return Popped(pcm=pcm, has=has, speech=speech)

    def pop_row(self, row: int) -> NDArray[np.int16] | None:
        """One more frame ``[160]`` of one row, counted as sent; ``None`` where there is none."""
        if self._length[row] == 0:
            return None
        pcm: NDArray[np.int16] = self._pcm[row, 0].copy()
        self.played[row] = self._frame_no[row, 0] + 1
        self._shift(np.array([row]))
        self._spare[row] = 0
        return pcm

    def _shift(self, rows: NDArray[np.intp]) -> None:
        more = rows[self._length[rows] > 1]
        if len(more):
            self._pcm[more, :-1] = self._pcm[more, 1:]
            self._frame_no[more, :-1] = self._frame_no[more, 1:]
            self._flags[more, :-1] = self._flags[more, 1:]
        self._length[rows] -= 1

    def _drop_spare(self, n: int) -> None:
        spare = self._length[:n] > 0
        self._spare[:n] = np.where(spare, self._spare[:n] + 1, 0)
        speech = (self._flags[:n, 0] & OutFlag.SPEECH) != 0
        due = np.flatnonzero(self._spare[:n] >= np.where(speech, _SPARE_TICKS_SPEECH, _SPARE_TICKS))
        if len(due):
            self._shift(due)
            self._spare[due] = 0
            self.dropped[due] += 1
