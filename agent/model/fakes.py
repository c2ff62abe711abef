"""Models without weights: for tests, load runs and to see the engine alone.

All of them keep the contract of ``DuplexModel``: masks, resets, snapshots, nothing shared between rows.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.model.protocol import ModelSpec, Persona, StepInput, StepOutput, neutral_output
from telephony.audio.marker import WORD_SAMPLES, WORDS, marker_word

STEP_MS: Final = 20
SPEECH_POWER: Final = float((32768 * 10 ** (-40 / 20)) ** 2)
"""Mean square at -40 dBFS: louder steps are speech to ``EnergyEars``."""
TAKE_POWER: Final = float((32768 * 10 ** (-9 / 20)) ** 2)
"""Mean square at -9 dBFS: so loud is an interruption at once (what words are to real ears)."""
END_AFTER_MS: Final = 200
"""Silence after speech from which ``EnergyEars`` says that the turn is over."""
TALK_MS: Final = 1000
"""``Talker`` speaks that long, and is silent as long."""
_SNAPSHOT: Final = struct.Struct("<4sHqqq")


class _Fake:
    """What the fakes share: three integers of state per row, ``[rows, 3]``, zero after a reset."""

    def __init__(self, name: str, rows: int, *, emits_pcm: bool = False, step_ms: int = STEP_MS) -> None:
        self.spec = ModelSpec(
            name=name,
            step_ms=step_ms,
            emits_pcm=emits_pcm,
            emits_scores=not emits_pcm,
            rows=rows,
            bytes_per_row=3 * 8,
        )
        self._state = np.zeros((rows, 3), np.int64)
        self._samples = step_ms * 8
        self._seated = np.zeros(rows, np.bool_)

    def warmup(self) -> None:
        """Nothing to do."""

    def self_test(self) -> int:
        return self.spec.rows

    def admit(self, row: int, persona: Persona) -> None:
        if self._seated[row]:
            raise ModelError(f"row {row} was not released")
        self._seated[row] = True

    def release(self, row: int) -> None:
        self._seated[row] = False

    def force(self, row: int, *, text: str | None) -> None:
        """Nothing to force."""

    def snapshot(self, row: int) -> bytes:
        return _SNAPSHOT.pack(b"fake", 1, *self._state[row].tolist())

    def restore(self, row: int, blob: bytes) -> None:
        try:
            kind, version, *state = _SNAPSHOT.unpack(blob)
        except struct.error as error:
            raise ModelError(f"snapshot: {error}") from None
        if (kind, version) != (b"fake", 1):
            raise ModelError(f"snapshot version {kind!r} {version}")
        self._state[row] = state

    def close(self) -> None:
        """Nothing to free."""

    def step(self, inputs: StepInput) -> StepOutput:
        rows, n = inputs.pcm.shape
        if n != self._samples:
            raise ModelError(f"step of {n} samples, expected {self._samples}")
        self._state[inputs.mask & inputs.reset] = 0
        output = neutral_output(rows, inputs.mask)
        if self.spec.emits_pcm:
            output.pcm = np.zeros((rows, n), np.int16)
        active = np.flatnonzero(inputs.mask)
        if len(active):
            self._advance(active, inputs, output)
        return output

    def _advance(self, rows: NDArray[np.intp], inputs: StepInput, output: StepOutput) -> None:
        raise NotImplementedError


class Echo(_Fake):
    """Says what it hears, in the same step."""

    def __init__(self, rows: int) -> None:
        super().__init__("echo", rows, emits_pcm=True)

    def _advance(self, rows: NDArray[np.intp], inputs: StepInput, output: StepOutput) -> None:
        assert output.pcm is not None
        output.pcm[rows] = inputs.pcm[rows]


class Silent(_Fake):
    """Hears nothing, says nothing."""

    def __init__(self, rows: int) -> None:
        super().__init__("silent", rows)

    def _advance(self, rows: NDArray[np.intp], inputs: StepInput, output: StepOutput) -> None:
        """Nothing happens."""


class Talker(_Fake):
    """Speaks a second of a 200 Hz tone, is silent for a second, and so on, on each row from its own reset."""

    def __init__(self, rows: int) -> None:
        super().__init__("talker", rows, emits_pcm=True)
        t = np.arange(TALK_MS * 8) / 8000.0
        tone = (8000.0 * np.sin(2 * np.pi * 200.0 * t)).astype(np.int16)
        self._pattern = np.concatenate([tone, np.zeros_like(tone)])

    def _advance(self, rows: NDArray[np.intp], inputs: StepInput, output: StepOutput) -> None:
        assert output.pcm is not None
        at = self._state[rows, 0, None] + np.arange(self._samples)
        output.pcm[rows] = self._pattern[at % len(self._pattern)]
        self._state[rows, 0] += self._samples


class Marker(_Fake):
    """Speaks the marker voice: word 0, 1, 2 … on each row from its own reset."""

    def __init__(self, rows: int) -> None:
        super().__init__("marker", rows, emits_pcm=True)
        self._pattern = np.concatenate([marker_word(k) for k in range(WORDS)])
        assert len(self._pattern) == WORDS * WORD_SAMPLES

    def _advance(self, rows: NDArray[np.intp], inputs: StepInput, output: StepOutput) -> None:
        assert output.pcm is not None
        at = self._state[rows, 0, None] + np.arange(self._samples)
        output.pcm[rows] = self._pattern[at % len(self._pattern)]
        self._state[rows, 0] += self._samples


class EnergyEars(_Fake):
    """Scores from energy with fixed thresholds, so that tests of the engine can be told by their samples.

    Over -40 dBFS is speech; 200 ms of silence after speech ends a turn; over -9 dBFS takes the floor at once.
    """

    def __init__(self, rows: int, *, step_ms: int = STEP_MS) -> None:
        super().__init__("energy", rows, step_ms=step_ms)

    def _advance(self, rows: NDArray[np.intp], inputs: StepInput, output: StepOutput) -> None:
        samples = inputs.pcm[rows].astype(np.float32)
        power = np.einsum("ij,ij->i", samples, samples) / self._samples
        speech = power >= SPEECH_POWER
        spoken, silence = self._state[rows, 0], self._state[rows, 1]
        spoken = np.where(speech, spoken + self.spec.step_ms, spoken)
        silence = np.where(speech, 0, silence + self.spec.step_ms)
        self._state[rows, 0], self._state[rows, 1] = spoken, silence
        output.p_speech[rows] = speech
        output.p_end[rows] = (spoken > 0) & (silence >= END_AFTER_MS)
        output.p_take[rows] = speech & (power >= TAKE_POWER)
