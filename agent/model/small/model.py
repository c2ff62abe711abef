"""The floor net as a ``DuplexModel``: scores for all rows, no words yet. Serving only, on ONNX Runtime.

Which score ends a turn or takes the floor is the floor's business (thresholds and agreement per dialogue state); here
stand the net's own probabilities, uncalibrated.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.expectation import NOTHING_KNOWN
from agent.model.protocol import ModelSpec, Persona, StepInput, StepOutput, neutral_output
from agent.model.small.expectation import SIZE, vector
from agent.model.small.runtime import FRAME, FloorRuntime
from telephony.audio.levels import to_float

STEP_MS: Final = 40
BUDGET: Final = 0.6
"""Share of a step that all rows together may take."""
TRIES: Final = 5
TAKES: Final = 1
"""Index in the overlap head (``agent.training.conversation.labels.Overlap``) …"""
LEAVES: Final = slice(2, 7)
"""… and those of what does not take the floor: backchannel, tic, side talk, noise, echo."""


class SmallEars:
    """Scores of the floor net."""

    def __init__(self, path: Path, rows: int) -> None:
        self._net = FloorRuntime(path, rows)
        self._expect = np.tile(vector(NOTHING_KNOWN), (rows, 1))
        self._seated = np.zeros(rows, np.bool_)
        self.spec = ModelSpec(
            name="small",
            step_ms=STEP_MS,
            emits_scores=True,
            wants_own_audio=True,
            rows=rows,
            bytes_per_row=self._net.bytes_per_row + self._expect[0].nbytes,
        )

    def warmup(self) -> None:
        """Pay for the first steps: with one row and with all."""
        for count in (1, self.spec.rows):
            self._idle(count)

    def self_test(self) -> int:
        """How many rows fit into ``BUDGET`` of a step, by measurement. Raises ``ModelError`` where none does."""
        for count in sorted({self.spec.rows, *(2**k for k in range(12) if 2**k < self.spec.rows)}, reverse=True):
            spent = []
            for _ in range(TRIES):
                began = time.perf_counter()
                self._idle(count)
                spent.append(time.perf_counter() - began)
            if min(spent) <= BUDGET * STEP_MS / 1000:
                return int(count)
        raise ModelError("small: this machine cannot step a single row in time")

    def admit(self, row: int, persona: Persona) -> None:
        if self._seated[row]:
            raise ModelError(f"row {row} was not released")
        self._seated[row] = True

    def release(self, row: int) -> None:
        self._seated[row] = False

    def step(self, inputs: StepInput) -> StepOutput:
        if inputs.pcm.shape[1] != FRAME:
            raise ModelError(f"small: wants {FRAME} samples a step, got {inputs.pcm.shape[1]}")
        fresh = np.flatnonzero(inputs.reset)
        if fresh.size:
            self._net.reset(fresh)
            self._expect[fresh] = vector(NOTHING_KNOWN)
        for row, expect in inputs.expects.items():
            self._expect[row] = vector(expect)
        out = neutral_output(len(inputs.mask), inputs.mask)
        rows = np.flatnonzero(inputs.mask)
        if rows.size:
            logits = self._net.step(to_float(inputs.pcm[rows]), to_float(inputs.own[rows]), self._expect[rows], rows)
            overlap = _softmax(logits["overlap"])
            out.p_speech[rows] = _sigmoid(logits["speech"][:, 0])
            out.p_end[rows] = _sigmoid(logits["end"][:, 0])
            out.p_take[rows] = overlap[:, TAKES]
            out.p_backchannel[rows] = overlap[:, LEAVES].sum(axis=1)
        return out

    def force(self, row: int, *, text: str | None) -> None:
        """It does not speak."""

    def snapshot(self, row: int) -> bytes:
        """The net's state and what is expected."""
        expect: bytes = self._expect[row].astype("<f4").tobytes()
        return self._net.snapshot(row) + expect

    def restore(self, row: int, blob: bytes) -> None:
        tail = 4 * SIZE
        if len(blob) <= tail:
            raise ModelError("small: this snapshot is cut short")
        self._net.restore(row, blob[:-tail])
        self._expect[row] = np.frombuffer(blob[-tail:], "<f4")

    def close(self) -> None:
        """Nothing runs."""

    def _idle(self, count: int) -> None:
        """One step of ``count`` silent rows, forgotten again."""
        rows = np.arange(count)
        silence = np.zeros((count, FRAME), np.float32)
        self._net.step(silence, silence, self._expect[:count], rows)
        self._net.reset(rows)


def _sigmoid(value: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-value)), np.float32)


def _softmax(value: NDArray[np.float32]) -> NDArray[np.float32]:
    raised = np.exp(value - value.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)
