"""A model that speaks, and ears beside it for the caller's side: together one ``DuplexModel``.

A Moshi-family model gives no scores and no words of the caller; without them nobody could take the floor from it. Ears
of shorter steps run several times in each of the model's: what was true at any time in it is true of it, except the end
of a turn, which must still hold at its end.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Final

import numpy as np

from agent.errors import ModelError
from agent.model.protocol import DuplexModel, HeardWords, ModelSpec, Persona, StepInput, StepOutput

_HEAD: Final = struct.Struct("<4sHI")
_MAGIC: Final = b"both"
VERSION: Final = 1


class WithEars:
    """``speaker`` says, ``ears`` judge."""

    def __init__(self, speaker: DuplexModel, ears: DuplexModel) -> None:
        """Raises ``ModelError`` where their steps or rates do not go together."""
        one, other = speaker.spec, ears.spec
        if one.step_ms % other.step_ms:
            raise ModelError(f"ears {other.name} step {other.step_ms} ms, which does not divide {one.step_ms} ms")
        if one.rate_in_hz != other.rate_in_hz:
            raise ModelError(f"ears {other.name} hear {other.rate_in_hz} Hz, {one.name} {one.rate_in_hz} Hz")
        self._speaker, self._ears = speaker, ears
        self._parts = one.step_ms // other.step_ms
        self._rows = min(one.rows, other.rows)
        self._never = np.zeros(one.rows, np.bool_)

    @property
    def spec(self) -> ModelSpec:
        speaker, ears = self._speaker.spec, self._ears.spec
        return replace(
            speaker,
            name=f"{speaker.name}+{ears.name}",
            rows=self._rows,
            algorithmic_delay_ms=ears.algorithmic_delay_ms,
            emits_scores=ears.emits_scores,
            emits_words=ears.emits_words,
            wants_own_audio=ears.wants_own_audio or speaker.wants_own_audio,
            bytes_per_row=speaker.bytes_per_row + ears.bytes_per_row,
        )

    def warmup(self) -> None:
        self._speaker.warmup()
        self._ears.warmup()

    def self_test(self) -> int:
        self._rows = min(self._speaker.self_test(), self._ears.self_test())
        return self._rows

    def admit(self, row: int, persona: Persona) -> None:
        self._speaker.admit(row, persona)
        try:
            self._ears.admit(row, persona)
        except Exception:
            self._speaker.release(row)
            raise

    def release(self, row: int) -> None:
        self._speaker.release(row)
        self._ears.release(row)

    def force(self, row: int, *, text: str | None) -> None:
        self._speaker.force(row, text=text)

    def close(self) -> None:
        self._speaker.close()
        self._ears.close()

    # --- a step ----------------------------------------------------------------------------------------------

    def step(self, inputs: StepInput) -> StepOutput:
        output = self._speaker.step(inputs)
        samples = inputs.pcm.shape[1] // self._parts
        words: list[HeardWords] = []
        for part in range(self._parts):
            cut = slice(part * samples, (part + 1) * samples)
            heard = self._ears.step(
                replace(
                    inputs,
                    pcm=inputs.pcm[:, cut],
                    own=inputs.own[:, cut],
                    reset=inputs.reset if part == 0 else self._never[: len(inputs.reset)],
                    expects=inputs.expects if part == 0 else {},
                )
            )
            for score, latest in (
                (output.p_speech, heard.p_speech),
                (output.p_take, heard.p_take),
                (output.p_backchannel, heard.p_backchannel),
            ):
                np.maximum(score, latest, out=score)
            output.p_end = heard.p_end
            words += heard.words
        output.words = words
        return output

    # --- moving ------------------------------------------------------------------------------------------------

    def snapshot(self, row: int) -> bytes:
        said, heard = self._speaker.snapshot(row), self._ears.snapshot(row)
        return _HEAD.pack(_MAGIC, VERSION, len(said)) + said + heard

    def restore(self, row: int, blob: bytes) -> None:
        try:
            magic, version, length = _HEAD.unpack_from(blob)
        except struct.error as error:
            raise ModelError(f"snapshot: {error}") from None
        if (magic, version) != (_MAGIC, VERSION):
            raise ModelError(f"snapshot version {magic!r} {version}")
        self._speaker.restore(row, blob[_HEAD.size : _HEAD.size + length])
        self._ears.restore(row, blob[_HEAD.size + length :])
