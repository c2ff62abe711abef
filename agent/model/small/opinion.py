"""What the floor net says of each row, held between its frames of 40 ms, and what that decides by ``rules``.

The ears step every 20 ms: a row's audio of both channels is gathered until a frame of the net is full. A net that
fails is asked no more; the ears then judge as without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.expectation import NOTHING_KNOWN, Expect
from agent.model.parts.levels import Floats
from agent.model.parts.rowstate import RowState, Saved
from agent.model.parts.sense import Sense
from agent.model.small.expectation import SIZE, vector
from agent.model.small.rules import (
    AGREED,
    DOUBTED_MS,
    DOUBTED_TAKES,
    ENDS,
    LATE,
    NEVER,
    SENSE_FACTOR,
    SOON,
    SPEECH_VETO,
    SURE_BACKCHANNEL,
    TAKES,
    Answer,
    EndRule,
    Overlap,
    answer_of,
)
from agent.model.small.runtime import FRAME, FloorRuntime
from telephony.audio.levels import to_float

FRAME_MS: Final = 40
SPEAKING: Final = 0.5
"""A turn is not over while the net hears speech."""
HALF: Final = 0.5
"""Part of the time that the score must hold, after which the recogniser may finish."""
JUST: Final = 0.5
"""The score of the ears at which a turn is just over, and a sound just takes the floor."""
_TAKES_AFTER_MS = np.array([rule.after_ms for rule in TAKES])
_TAKES_SCORE = np.array([rule.threshold for rule in TAKES], np.float32)
_MOST_RULES = max(map(len, LATE.values()))
_LATE = np.array([[*LATE[sense], *[NEVER] * (_MOST_RULES - len(LATE[sense]))] for sense in Sense])
"""``[sense, rule, 2]`` silence and score."""
_FACTOR = np.array([SENSE_FACTOR[sense] for sense in Sense], np.float32)
_SOON = np.array([SOON.get(sense, 0.0) for sense in Sense])


class NetOpinion(RowState):
    """See ``agent.model.parts.opinion.Opinion``."""

    def __init__(self, net: FloorRuntime, rows: int, ends: Mapping[Answer, EndRule] = ENDS) -> None:
        super().__init__(rows)
        self._net = net
        self._threshold = np.array([ends[answer].threshold for answer in Answer], np.float32)
        self._agree_ms = np.array([ends[answer].agree_ms for answer in Answer], np.float32)
        self.failed = ""
        """Why it will not be asked again: the ears judge without it."""
        self._caller = self._column("net_caller", np.int16, shape=(FRAME,))
        self._ours = self._column("net_own", np.int16, shape=(FRAME,))
        self._filled = self._column("net_filled", np.int64)
        """Samples of the frame that is filling."""
        self._expect = self._column("net_expect", np.float32, shape=(SIZE,))
        self._answer = self._column("net_answer", np.int64)
        self._speaks = self._column("net_speaks", np.float32)
        self._over = self._column("net_over", np.float32)
        self._over_ms = self._column("net_over_ms", np.float32)
        """For how long its rule has been met."""
        self._takes = self._column("net_takes", np.float32)
        self._backchannel = self._column("net_backchannel", np.float32)
        self._most_takes = self._column("net_most_takes", np.float32)
        """Of one sound over our voice."""
        self._most_backchannel = self._column("net_most_backchannel", np.float32)
        self._expect[:] = vector(NOTHING_KNOWN)
        self._begin(np.arange(rows))

    @property
    def bytes_per_row(self) -> int:
        """Memory of one row."""
        return self._net.bytes_per_row + sum(int(array[0].nbytes) for array, _ in self._columns.values())

    def reset(self, rows: NDArray[np.intp]) -> None:
        super().reset(rows)
        self._expect[rows] = vector(NOTHING_KNOWN)
        self._begin(rows)
        self._net.reset(rows)

    def _begin(self, rows: NDArray[np.intp]) -> None:
        """Every other row has half a frame of silence behind it: so no step asks the net for all rows at once."""
        self._filled[rows] = (rows % 2) * (FRAME // 2)

    def save(self, row: int) -> Saved:
        return {**super().save(row), "net": np.frombuffer(self._net.snapshot(row), np.uint8)}

    def load(self, row: int, saved: Saved) -> None:
        super().load(row, saved)
        if "net" in saved:
            self._net.restore(row, saved["net"].tobytes())

    def expect(self, row: int, expect: Expect) -> None:
        self._expect[row] = vector(expect)
        self._answer[row] = answer_of(expect)

    def hear(self, pcm: NDArray[np.int16], own: NDArray[np.int16], rows: NDArray[np.intp]) -> None:
        if self.failed:
            return
        at = self._filled[rows][:, None] + np.arange(pcm.shape[1])
        self._caller[rows[:, None], at], self._ours[rows[:, None], at] = pcm, own
        self._filled[rows] += pcm.shape[1]
        full = rows[self._filled[rows] >= FRAME]
        if full.size:
            self._filled[full] = 0
            self._ask(full)

    def _ask(self, rows: NDArray[np.intp]) -> None:
        try:
            logits = self._net.step(to_float(self._caller[rows]), to_float(self._ours[rows]), self._expect[rows], rows)
        except Exception as broken:  # ONNX Runtime's errors have no common class but Exception
            self.failed = f"the floor net failed: {broken}"
            return
        speech, over, overlap = logits["speech"][:, 0], logits["end"][:, 0], logits["overlap"]
        if not (np.isfinite(speech).all() and np.isfinite(over).all() and np.isfinite(overlap).all()):
            self.failed = "the floor net gives numbers that are not finite"
            return
        self._speaks[rows], self._over[rows] = _sigmoid(speech), _sigmoid(over)
        met = (self._over[rows] >= self._threshold[self._answer[rows]]) & (self._speaks[rows] < SPEAKING)
        self._over_ms[rows] = np.where(met, self._over_ms[rows] + FRAME_MS, 0.0)
        shares = _softmax(overlap)
        self._takes[rows], self._backchannel[rows] = shares[:, Overlap.TAKES], shares[:, Overlap.BACKCHANNEL]

    def voice(self, rows: NDArray[np.intp]) -> Floats | None:
        return None if self.failed else self._speaks[rows]

    def speech(self, rows: NDArray[np.intp], p_speech: Floats) -> Floats:
        if self.failed:
            return p_speech
        return np.where(self._speaks[rows] < SPEECH_VETO, 0.0, p_speech).astype(np.float32)

    def ends_soon(self, rows: NDArray[np.intp], sense: NDArray[np.int64]) -> NDArray[np.bool_]:
        if self.failed:
            return np.zeros(len(rows), np.bool_)
        held = self._over_ms[rows] >= HALF * self._agree_ms[self._answer[rows]]
        found: NDArray[np.bool_] = (held & (self._over[rows] >= _SOON[sense])) | self._agrees(rows, sense)
        return found

    def _agrees(self, rows: NDArray[np.intp], sense: NDArray[np.int64]) -> NDArray[np.bool_]:
        """``[R]`` the words are a whole phrase, and the net hears it to be over."""
        found: NDArray[np.bool_] = (sense == Sense.PHRASE) & (self._over[rows] >= AGREED.score)
        return found

    def ends(
        self, rows: NDArray[np.intp], ends: Floats, sense: NDArray[np.int64], silence_ms: NDArray[np.int64]
    ) -> Floats:
        if self.failed:
            return ends
        told = JUST * self._over_ms[rows] / (self._agree_ms[self._answer[rows]] * _FACTOR[sense])
        silent = JUST * np.minimum(silence_ms / self._after_ms(rows, sense), 2.0)
        by_words = np.where(sense >= Sense.VALUE_BEGUN, ends, 0.0)
        by_words *= np.where(self._agrees(rows, sense), AGREED.times, 1.0)
        return np.asarray(np.minimum(np.maximum(told, np.maximum(silent, by_words)), 1.0), np.float32)

    def _after_ms(self, rows: NDArray[np.intp], sense: NDArray[np.int64]) -> NDArray[np.float64]:
        """``[R]`` silence that ends a turn at the score of now; infinite where only the words' own does."""
        rules = _LATE[sense]
        due = (self._over[rows][:, None] < rules[:, :, 1]).sum(axis=1)
        return np.asarray(rules[np.arange(len(rows)), due, 0])

    def overlap(
        self, rows: NDArray[np.intp], takes: Floats, leaves: Floats, over_ms: NDArray[np.int64]
    ) -> tuple[Floats, Floats]:
        if self.failed:
            return takes, leaves
        due = np.searchsorted(_TAKES_AFTER_MS, over_ms, side="right") - 1
        taken = self._takes[rows] >= _TAKES_SCORE[due]
        begins = over_ms <= FRAME_MS // 2  # one step of the ears
        for most, now in ((self._most_takes, self._takes), (self._most_backchannel, self._backchannel)):
            most[rows] = np.maximum(np.where(begins, 0.0, most[rows]), now[rows])
        doubted = self._most_takes[rows] < DOUBTED_TAKES
        by_words = np.where(doubted & (self._most_backchannel[rows] >= SURE_BACKCHANNEL), 0.0, takes)
        not_for_us = doubted & (DOUBTED_MS[0] <= over_ms) & (over_ms < DOUBTED_MS[1]) & (by_words < JUST)
        return (
            np.where(taken, 1.0, by_words).astype(np.float32),
            np.where(taken, 0.0, np.where(not_for_us, 1.0, leaves)).astype(np.float32),
        )


def _sigmoid(value: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(value, -60, 60))), np.float32)


def _softmax(value: Floats) -> Floats:
    raised = np.exp(value - value.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)
