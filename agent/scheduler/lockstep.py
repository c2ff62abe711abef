"""All rows of a model that speaks, in one step together, beside ears that step whenever audio comes. Pure.

Legs are spread over phases of a tick so that ears and packets are never in a queue. A large model on a device reads all
its weights in every step: stepping each phase by itself would cost that many times as much. So the frames of all phases
are gathered here; when the rows that move together have a step's audio, one step begins, and its answer is handed
out frame by frame when it is there. Nobody waits meanwhile.

Frames of a row are counted, never timed: a frame that did not come is made up by whoever knows that, a row that is more
than one frame late when the others are ready steps on what it has. What is ahead is dropped, what is behind is
concealed: the delay of a row cannot grow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.model.protocol import Speaker, StepInput, StepOutput
from telephony.link import FRAME_SAMPLES

CONCEAL_FADE: Final = 0.7
"""Each frame made up repeats the last one, that much weaker."""
SPARE_FRAMES: Final = 1
"""Frames of silence ahead of a call's first answer: a step may end that much later than the one before."""
MOST_SPARE: Final = 2
"""More than that left over at every answer of ``LOOK_BACK`` is delay for nothing: a frame is dropped."""
LOOK_BACK: Final = 25

Rows = NDArray[np.intp]
Bools = NDArray[np.bool_]
Samples = NDArray[np.int16]


@dataclass(slots=True)
class LockstepCounters:
    """What has happened since the start."""

    steps: int = 0
    waited: int = 0
    """Steps that began later than their audio was there: the one before was still under way."""
    concealed: int = 0
    """Rows that stepped without all of their audio."""
    starved: int = 0
    """Frames of silence that a row got because its answer was late."""
    dropped: int = 0
    """Frames of answers that were dropped to lose delay."""
    took_s: list[float] = field(default_factory=list)
    """Begin to answer of each step, until somebody takes them."""


class _Waiting:
    """A few frames per row, first in, first out: ``[rows, room, 160]``."""

    def __init__(self, rows: int, room: int) -> None:
        self._room = room
        self._frames = np.zeros((rows, room, FRAME_SAMPLES), np.int16)
        self.count = np.zeros(rows, np.int64)

    def put(self, rows: Rows, frames: Samples) -> None:
        """One frame ``[n, 160]`` for each of ``rows``; where there is no room the oldest goes."""
        full = rows[self.count[rows] == self._room]
        if len(full):
            self.drop(full)
        self._frames[rows, self.count[rows]] = frames
        self.count[rows] += 1

    def drop(self, rows: Rows) -> None:
        """The oldest frame of each of ``rows``."""
        self._frames[rows, :-1] = self._frames[rows, 1:]
        self.count[rows] -= 1

    def last(self, rows: Rows) -> Samples:
        """The newest frame of each, zeros where there is none."""
        found: Samples = self._frames[rows, np.maximum(self.count[rows] - 1, 0)].copy()
        found[self.count[rows] == 0] = 0
        return found

    def take(self, row: int, frames: int) -> Samples:
        """The oldest ``frames`` of a row that has as many, ``[frames * 160]``."""
        taken: Samples = self._frames[row, :frames].reshape(-1).copy()
        self._frames[row, : self._room - frames] = self._frames[row, frames:]
        self.count[row] -= frames
        return taken

    def clear(self, row: int) -> None:
        self.count[row] = 0


class Lockstep:
    """Gathers, steps, hands out. One owner: the scheduler."""

    def __init__(
        self,
        speaker: Speaker,
        *,
        rows: int,
        is_hushed: Callable[[int], bool],
        woven: Callable[[int], str | None] = lambda row: None,
    ) -> None:
        """``is_hushed(row)``: the floor is not the model's; it is silent inside too. ``woven(row)``: what it is to say
        next, given once.
        """
        self.speaker = speaker
        self.frames = speaker.spec.step_ms // 20
        self.counters = LockstepCounters()
        self._is_hushed, self._woven = is_hushed, woven
        self._heard = _Waiting(rows, 2 * self.frames)
        self._own = _Waiting(rows, 2 * self.frames)
        self._said = _Waiting(rows, 4 * self.frames)
        n = self.frames * FRAME_SAMPLES
        no = np.zeros(rows, np.bool_)
        self._in = StepInput(
            pcm=np.zeros((rows, n), np.int16),
            own=np.zeros((rows, n), np.int16),
            mask=no.copy(),
            reset=no.copy(),
            lost=no.copy(),
            speaking=no.copy(),
        )
        self._seated = no.copy()
        self._reset = no.copy()
        self._together = no.copy()
        """Rows of the last step: the next one waits for them."""
        self._answered = no.copy()
        """Rows that have had an answer."""
        self._overdue = False
        self._begun_at: float | None = None
        self._kept_waiting = False
        self._least = np.zeros(rows, np.int64)
        """Frames left over at each answer, the least since that was last looked at."""
        self._since_look = np.zeros(rows, np.int64)
        self.age = np.zeros(rows, np.int64)
        """Steps of each row since the model began it."""
        self.position = np.zeros(rows, np.int64)
        """Frames of the model's own audio that were handed out (or dropped) since the row began."""
        self.given = np.zeros(rows, np.int64)
        """Frames of it that the model has given."""

    # --- rows ----------------------------------------------------------------------------------------------

    def join(self, row: int) -> None:
        """A call takes ``row``: it is in the next step, on what has come of it by then."""
        for waiting in (self._heard, self._own, self._said):
            waiting.clear(row)
        self._seated[row] = self._reset[row] = True
        self._together[row] = self._answered[row] = False
        self._least[row] = self._since_look[row] = 0
        self.position[row] = self.given[row] = self.age[row] = 0

    def leave(self, row: int) -> None:
        """The call is over; what is under way for it is for nobody."""
        self._seated[row] = self._together[row] = False

    def restart(self, row: int) -> None:
        """The model begins anew in the middle of a call, with its next step; what it has said is still said."""
        self._reset[row] = True
        self.age[row] = 0

    # --- frames --------------------------------------------------------------------------------------------

    def hear(self, rows: Rows, pcm: Samples, own: Samples) -> None:
        """A frame of each of ``rows`` has come: ``[n, 160]`` the caller's, ``[n, 160]`` our own as it was played."""
        waits = self._together[rows] & (self._heard.count[rows] >= self.frames)
        self._overdue |= bool(waits.any())
        self._heard.put(rows, pcm)
        self._own.put(rows, own)

    def conceal(self, rows: Rows) -> None:
        """A frame of each of ``rows`` will not come."""
        self.hear(rows, (self._heard.last(rows) * CONCEAL_FADE).astype(np.int16), np.zeros((len(rows), 160), np.int16))
        self._in.lost[rows] = True

    def skip(self, rows: Rows, frames: int) -> None:
        """``frames`` of each of ``rows`` will not come; more than a step's are not made up."""
        for _ in range(frames if frames <= self.frames else 0):
            self.conceal(rows)

    def next_frame(self, row: int) -> tuple[Samples, int]:
        """What the model says in the next 20 ms, and which of its frames that is (-1: none; silence)."""
        if not self._said.count[row]:
            if self._answered[row]:
                self.counters.starved += 1
            return _SILENCE, -1
        at = int(self.position[row])
        self.position[row] += 1
        return self._said.take(row, 1), at

    def latest_frame(self, row: int) -> int:
        """The first frame of the latest answer, which its text belongs to."""
        return int(self.given[row]) - self.frames

    # --- steps ---------------------------------------------------------------------------------------------

    @property
    def is_under_way(self) -> bool:
        return self._begun_at is not None

    @property
    def is_ready(self) -> bool:
        """The next step has its audio."""
        full = self._heard.count >= self.frames
        together = self._together & self._seated
        if not together.any():
            return bool((full & self._seated).any())
        return self._overdue or bool(full[together].all())

    def begin(self, now: float) -> bool:
        """Begin a step if its audio is there and none is under way."""
        if not self.is_ready:
            return False
        if self.is_under_way:
            self._kept_waiting = True
            return False
        self.counters.waited += self._kept_waiting
        self._kept_waiting = False
        inputs = self._gathered()
        for row in np.flatnonzero(inputs.mask).tolist():
            if self._is_hushed(row):
                self.speaker.force(row, text=None)
            elif text := self._woven(row):
                self.speaker.force(row, text=text)
        self.speaker.begin(inputs)
        inputs.lost[:] = False
        self.counters.steps += 1
        self._begun_at = now
        return True

    def finish(self, now: float) -> StepOutput | None:
        """The answer of the step that is under way, if it is there; its audio is handed out from now on."""
        if self._begun_at is None or not self.speaker.is_done():
            return None
        output = self.speaker.finish()
        self.counters.took_s.append(now - self._begun_at)
        self._begun_at = None
        rows = np.flatnonzero(output.valid & self._together & self._seated)
        output.valid = np.zeros_like(output.valid)
        output.valid[rows] = True
        if output.pcm is not None and len(rows):
            self._keep(rows, output.pcm)
        return output

    def take_took(self) -> list[float]:
        """Seconds from begin to answer of each step since the last call."""
        took, self.counters.took_s = self.counters.took_s, []
        return took

    def _gathered(self) -> StepInput:
        """A step's audio of every row that has any; short rows get silence in front, or a concealed end."""
        inputs, frames = self._in, self.frames
        mask = self._seated & (self._heard.count > 0)
        for row in np.flatnonzero(mask).tolist():
            missing = frames - int(self._heard.count[row])
            if missing > 0:
                self._fill_up(row, missing)
            elif missing < -1:  # ahead by more than the frame that a late neighbour may cost
                self._heard.take(row, -missing - 1)
                self._own.take(row, -missing - 1)
            inputs.pcm[row] = self._heard.take(row, frames)
            inputs.own[row] = self._own.take(row, frames)
        inputs.mask[:] = mask
        np.logical_and(self._reset, mask, out=inputs.reset)
        self._reset &= ~mask
        self.age[mask] += 1
        self._together[:] = mask
        self._overdue = False
        return inputs

    def _fill_up(self, row: int, missing: int) -> None:
        one = np.array([row], np.intp)
        if self._together[row]:
            self.counters.concealed += 1
            for _ in range(missing):
                self._heard.put(one, (self._heard.last(one) * CONCEAL_FADE).astype(np.int16))
                self._own.put(one, np.zeros((1, FRAME_SAMPLES), np.int16))
            self._in.lost[row] = True
            return
        for waiting in (self._heard, self._own):  # a call that joins: nothing was heard before
            have = waiting.take(row, frames := int(waiting.count[row])).reshape(frames, FRAME_SAMPLES)
            for _ in range(missing):
                waiting.put(one, np.zeros((1, FRAME_SAMPLES), np.int16))
            for frame in have:
                waiting.put(one, frame[None])

    def _keep(self, rows: Rows, pcm: Samples) -> None:
        said = self._said
        for row in rows.tolist():
            if self._answered[row]:
                self._lose_delay(row)
            else:
                self._answered[row] = True
                for _ in range(SPARE_FRAMES):
                    said.put(np.array([row], np.intp), _SILENCE[None])
                    self.position[row] -= 1  # no frame of the model
        for part in range(self.frames):
            said.put(rows, pcm[rows, part * FRAME_SAMPLES : (part + 1) * FRAME_SAMPLES])
        self.given[rows] += self.frames

    def _lose_delay(self, row: int) -> None:
        left = int(self._said.count[row])
        if left > 2 * self.frames:  # nobody took them: the row had rested
            self._drop_said(row, left - MOST_SPARE)
            left = MOST_SPARE
        self._least[row] = left if not self._since_look[row] else min(left, int(self._least[row]))
        self._since_look[row] += 1
        if self._since_look[row] < LOOK_BACK:
            return
        self._since_look[row] = 0
        if self._least[row] > MOST_SPARE:
            self._drop_said(row, 1)

    def _drop_said(self, row: int, frames: int) -> None:
        self._said.take(row, frames)
        self.position[row] += frames
        self.counters.dropped += frames


_SILENCE: Final = np.zeros(FRAME_SAMPLES, np.int16)
_SILENCE.flags.writeable = False
