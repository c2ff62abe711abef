"""Agent audio that waits for its tick: a few frames per leg, arrays over legs. Pure.

The audio of an answer waits in the worker, where it can be taken back; here is only what covers the worker's own
tick. A worker that is told what has been taken (``telephony.link``) hands out no more than fits, and less where enough
waits. Older epochs are dropped wherever they are met; speech is dropped for no other reason than a queue that is full
all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telephony.link import AHEAD, ALL_SENT, ENOUGH, FRAME_SAMPLES, SENT_FRAMES, InFlag, OutBatch, OutFlag

DEPTH = AHEAD
"""Frames per leg. One more drops the oldest: late audio is worse than lost audio."""
_SPARE_TICKS = 25
"""A frame that was not needed for 0.5 s is only delay: it goes with the next silence. Speech never goes for that."""


@dataclass(slots=True)
class Popped:
    """What goes out in this tick; arrays are [n]."""

    pcm: NDArray[np.int16]
    """[n, 160]; zeros where there is no frame."""
    has: NDArray[np.bool_]
    speech: NDArray[np.bool_]
    frame_no: NDArray[np.int64]
    """-1 where there is no frame."""


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
        self.sent = np.zeros(rows, np.uint64)
        """Which of the frames before ``played`` were sent: bit ``i`` is frame ``played - 1 - i``."""
        self.taken = np.zeros(rows, np.int64)
        """Last frame number that waits no more, plus one."""
        self.underruns = np.zeros(rows, np.int64)
        self.dropped = np.zeros(rows, np.int64)

    def seat_row(self, row: int, seat: int) -> None:
        """Take audio of another claim (-1: of none) from now on."""
        self.seat[row] = seat
        self._length[row] = self._spare[row] = self.played[row] = self.sent[row] = self.taken[row] = 0
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

    def pop(self, n: int, sends: NDArray[np.bool_]) -> Popped:
        """One frame of each of the first ``n`` rows. ``sends`` [n]: whether the leg does; else no frame is missed.

        What of it has left is for the caller to tell (``note_sent``).
        """
        length = self._length[:n]
        has = length > 0
        speech = has & ((self._flags[:n, 0] & OutFlag.SPEECH) != 0)
        pcm = np.where(has[:, None], self._pcm[:n, 0], np.int16(0))
        frame_no = np.where(has, self._frame_no[:n, 0], -1)
        self.underruns[:n] += ~has & self._spoke[:n] & sends
        self._spoke[:n] = speech
        rows = np.flatnonzero(has)
        self._shift(rows)
        self._drop_spare(n)
        return Popped(pcm=pcm, has=has, speech=speech, frame_no=frame_no)

    def pop_row(self, row: int) -> tuple[NDArray[np.int16], int] | None:
        """One more frame ``[160]`` of one row, and its number; ``None`` where there is none."""
        if self._length[row] == 0:
            return None
        pcm, frame_no = self._pcm[row, 0].copy(), int(self._frame_no[row, 0])
        self._shift(np.array([row]))
        self._spare[row] = 0
        return pcm, frame_no

    def note_sent(self, rows: NDArray[np.intp], frame_no: NDArray[np.int64]) -> None:
        """Frames ``frame_no`` [k] of ``rows`` [k] have left; each row once. Numbers only grow within a claim."""
        further = frame_no - self.played[rows] + 1
        newer = further > 0
        if not newer.all():
            rows, frame_no, further = rows[newer], frame_no[newer], further[newer]
        shift = np.minimum(further, SENT_FRAMES).astype(np.uint64)
        self.sent[rows] = ((self.sent[rows] << shift) | np.uint64(1)) & np.uint64(ALL_SENT)
        self.played[rows] = frame_no + 1

    def flags(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """``InFlag.ENOUGH`` for those of ``rows`` where it is so."""
        return np.where(self._length[rows] >= ENOUGH, int(InFlag.ENOUGH), 0).astype(np.uint8)

    def _shift(self, rows: NDArray[np.intp]) -> None:
        self.taken[rows] = self._frame_no[rows, 0] + 1
        more = rows[self._length[rows] > 1]
        if len(more):
            self._pcm[more, :-1] = self._pcm[more, 1:]
            self._frame_no[more, :-1] = self._frame_no[more, 1:]
            self._flags[more, :-1] = self._flags[more, 1:]
        self._length[rows] -= 1

    def _drop_spare(self, n: int) -> None:
        spare = self._length[:n] > 0
        self._spare[:n] = np.where(spare, self._spare[:n] + 1, 0)
        silent = (self._flags[:n, 0] & OutFlag.SPEECH) == 0
        due = np.flatnonzero(silent & (self._spare[:n] >= _SPARE_TICKS))
        if len(due):
            self._shift(due)
            self._spare[due] = 0
            self.dropped[due] += 1
