"""A model that speaks, and ears beside it for the caller's side: together one ``DuplexModel``.

A model that speaks gives no scores of the caller, or none in time; without them nobody could take the floor from it.
The ears step whenever audio comes, the speaker in longer steps of its own (``agent.scheduler.lockstep``): a barge-in
never waits for the larger model.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Final, cast

from agent.errors import ModelError
from agent.model.baseline import fallback_of
from agent.model.protocol import (
    DuplexModel,
    HasHelpers,
    HelperStats,
    ModelSpec,
    Persona,
    Speaker,
    StepInput,
    StepOutput,
)

_HEAD: Final = struct.Struct("<4sHI")
_MAGIC: Final = b"both"
VERSION: Final = 1


class Halves:
    """A model with whole steps as a ``Speaker``: its step is done when it has begun."""

    def __init__(self, model: DuplexModel) -> None:
        self._model = model
        self._output: StepOutput | None = None
        self.warmup, self.self_test, self.close = model.warmup, model.self_test, model.close
        self.admit, self.release, self.force = model.admit, model.release, model.force
        self.snapshot, self.restore, self.step = model.snapshot, model.restore, model.step

    @property
    def spec(self) -> ModelSpec:
        return self._model.spec

    def begin(self, inputs: StepInput) -> None:
        self._output = self._model.step(inputs)

    def is_done(self) -> bool:
        return self._output is not None

    def finish(self) -> StepOutput:
        assert self._output is not None, "no step is under way"
        output, self._output = self._output, None
        return output


class WithEars:
    """``speaker`` says, ``ears`` judge. As a ``DuplexModel`` it is its ears; see ``HasSpeaker``."""

    def __init__(self, speaker: DuplexModel, ears: DuplexModel) -> None:
        """Raises ``ModelError`` where their rates do not go together."""
        one, other = speaker.spec, ears.spec
        if one.rate_in_hz != other.rate_in_hz:
            raise ModelError(f"ears {other.name} hear {other.rate_in_hz} Hz, {one.name} {one.rate_in_hz} Hz")
        self.speaker = cast("Speaker", speaker) if hasattr(speaker, "begin") else Halves(speaker)
        self._ears = ears
        self._rows = min(one.rows, other.rows)

    @property
    def spec(self) -> ModelSpec:
        speaker, ears = self.speaker.spec, self._ears.spec
        return replace(
            ears,
            name=f"{speaker.name}+{ears.name}",
            rows=self._rows,
            emits_pcm=True,
            context_s=speaker.context_s,
            on_context_full=speaker.on_context_full,
            bytes_per_row=speaker.bytes_per_row + ears.bytes_per_row,
        )

    @property
    def fallback(self) -> str:
        """Why simpler ears judge now; empty: they do not."""
        return fallback_of(self._ears)

    @property
    def helpers(self) -> HelperStats:
        return self._ears.helpers if isinstance(self._ears, HasHelpers) else HelperStats()

    def warmup(self) -> None:
        self.speaker.warmup()
        self._ears.warmup()

    def self_test(self) -> int:
        self._rows = min(self.speaker.self_test(), self._ears.self_test())
        return self._rows

    def admit(self, row: int, persona: Persona) -> None:
        self.speaker.admit(row, persona)
        try:
            self._ears.admit(row, persona)
        except Exception:
            self.speaker.release(row)
            raise

    def release(self, row: int) -> None:
        self.speaker.release(row)
        self._ears.release(row)

    def step(self, inputs: StepInput) -> StepOutput:
        """The ears' step; whoever calls it steps ``speaker`` too."""
        return self._ears.step(inputs)

    def force(self, row: int, *, text: str | None) -> None:
        self.speaker.force(row, text=text)

    def close(self) -> None:
        self.speaker.close()
        self._ears.close()

    # --- moving ------------------------------------------------------------------------------------------------

    def snapshot(self, row: int) -> bytes:
        said, heard = self.speaker.snapshot(row), self._ears.snapshot(row)
        return _HEAD.pack(_MAGIC, VERSION, len(said)) + said + heard

    def restore(self, row: int, blob: bytes) -> None:
        try:
            magic, version, length = _HEAD.unpack_from(blob)
        except struct.error as error:
            raise ModelError(f"snapshot: {error}") from None
        if (magic, version) != (_MAGIC, VERSION):
            raise ModelError(f"snapshot version {magic!r} {version}")
        self.speaker.restore(row, blob[_HEAD.size : _HEAD.size + length])
        self._ears.restore(row, blob[_HEAD.size + length :])
