"""DuplexModel: one batched step for all calls of a worker.

The contract holds for models that only score (ears), models that speak (Moshi family), models in units of a
second and models that emit text only: a model leaves what it does not know at its neutral value.

Per row, always: neighbours and the row's index change nothing beyond float noise; a masked row does not move;
a reset row remembers nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from agent.expectation import Expect

TOLD_WORDS: Final = 60
"""Of its own last words, a row that begins anew in the middle of a call is told so many."""


class OnContextFull(StrEnum):
    SLIDE = "slide"
    REPRIME = "reprime"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What a model is and needs."""

    name: str
    step_ms: int
    """Audio of one step; a multiple of 20."""
    rate_in_hz: int = 8000
    rate_out_hz: int = 8000
    algorithmic_delay_ms: int = 0
    emits_pcm: bool = False
    emits_words: bool = False
    emits_scores: bool = False
    judges_overlaps: bool = False
    """It tells what a sound over our voice is by more than words."""
    wants_own_audio: bool = False
    rows: int = 1
    """Rows that this instance can hold."""
    context_s: float | None = None
    """Longest memory in seconds; ``None``: unbounded state of fixed size."""
    on_context_full: OnContextFull = OnContextFull.SLIDE
    bytes_per_row: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """How a row starts: what a speaking model is told before the call. Models that only score ignore it."""

    text: str = ""
    voice: str = ""
    seed: int = 0

    def in_call(self, said: Iterable[str]) -> Persona:
        """The same for a row that begins anew in the middle of a call: told the last words that were heard of it."""
        words = " ".join(said)
        if not words:
            return self
        return replace(self, text=f"{self.text} You are in the middle of a call. You have just said: {words}".strip())


@dataclass(slots=True)
class StepInput:
    """Input of one step for all rows. ``B`` rows, ``n`` samples (``step_ms`` at ``rate_in_hz``)."""

    pcm: NDArray[np.int16]
    """``[B, n]`` caller audio; concealed where ``lost``."""
    own: NDArray[np.int16]
    """``[B, n]`` our own audio as it was played in the same time (zeros where we were silent)."""
    mask: NDArray[np.bool_]
    """``[B]`` rows that advance in this step."""
    reset: NDArray[np.bool_]
    """``[B]`` rows that start anew before this step."""
    lost: NDArray[np.bool_]
    """``[B]`` rows whose audio was concealed or missing."""
    speaking: NDArray[np.bool_]
    """``[B]`` rows whose agent voice is playing (known from the speech buffer, not guessed)."""
    expects: dict[int, Expect] = field(default_factory=dict)
    """Rows whose expectation has changed since the last step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardWords:
    """What the caller has said in the current turn, as far as the ears know. Replaces what was said before."""

    row: int
    words: tuple[str, ...]
    final: bool
    """No later revision will come for this turn."""
    confidence: float
    """0..1; calibrated where the recogniser can."""
    end_samples: int | None = None
    """Media time (samples since the row's reset) up to which these words were heard."""


@dataclass(slots=True)
class StepOutput:
    """Output of one step for all rows; scores are 0..1 and 0 where unknown."""

    p_speech: NDArray[np.float32]
    """``[B]`` the main caller speaks now."""
    p_end: NDArray[np.float32]
    """``[B]`` the caller's turn is over."""
    p_take: NDArray[np.float32]
    """``[B]`` this overlap takes the floor (an interruption)."""
    p_backchannel: NDArray[np.float32]
    """``[B]`` this overlap is a backchannel, a tic, side talk or noise."""
    valid: NDArray[np.bool_]
    """``[B]`` rows that advanced."""
    pcm: NDArray[np.int16] | None = None
    """``[B, m]`` agent audio of a model that speaks."""
    agent_text: Sequence[tuple[int, str]] = ()
    """``(row, text)`` new pieces of text that a speaking model says."""
    words: Sequence[HeardWords] = ()


def neutral_output(rows: int, mask: NDArray[np.bool_]) -> StepOutput:
    """Output of a model that knows nothing: ``[rows]`` zeros, valid where ``mask``."""

    def zeros() -> NDArray[np.float32]:
        return np.zeros(rows, np.float32)

    return StepOutput(p_speech=zeros(), p_end=zeros(), p_take=zeros(), p_backchannel=zeros(), valid=mask.copy())


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperStats:
    """Processes that a model works with, and what became of them since the start."""

    wanted: int = 0
    live: int = 0
    restarts: int = 0
    given_up: int = 0
    """Utterances that ended without the words that were still to come."""


@runtime_checkable
class HasHelpers(Protocol):
    """A model with processes of its own. Optional."""

    @property
    def helpers(self) -> HelperStats: ...


class DuplexModel(Protocol):
    """One instance serves all rows of a worker; called from one thread only."""

    @property
    def spec(self) -> ModelSpec: ...

    def warmup(self) -> None:
        """Do whatever the first steps would pay for."""
        ...

    def self_test(self) -> int:
        """Check the model and return how many rows it can hold. Raises ``ModelError``."""
        ...

    def admit(self, row: int, persona: Persona) -> None:
        """Make ``row`` ready for a call; the next step has its reset bit set."""
        ...

    def release(self, row: int) -> None:
        """The call on ``row`` is over."""
        ...

    def step(self, inputs: StepInput) -> StepOutput:
        """Advance all rows of ``inputs.mask`` by ``spec.step_ms``. Never blocks on anything but arithmetic."""
        ...

    def force(self, row: int, *, text: str | None) -> None:
        """Models that speak: say ``text`` next, or be silent for ``None``. Others ignore it."""
        ...

    def snapshot(self, row: int) -> bytes:
        """State of ``row`` as bytes that begin with a version."""
        ...

    def restore(self, row: int, blob: bytes) -> None:
        """Inverse of ``snapshot``. Raises ``ModelError`` on an unknown version."""
        ...

    def close(self) -> None:
        """Stop helpers (recogniser processes) and free memory."""
        ...


class Speaker(DuplexModel, Protocol):
    """A model that speaks, whose step has two halves: a device works while the host does the rest."""

    def begin(self, inputs: StepInput) -> None:
        """The first half of ``step``. ``inputs`` is the caller's again when this returns."""
        ...

    def is_done(self) -> bool:
        """Whether ``finish`` would give its answer at once."""
        ...

    def finish(self) -> StepOutput:
        """The second half: waits for the answer to ``begin``."""
        ...


@runtime_checkable
class HasSpeaker(Protocol):
    """Ears with a model beside them that speaks, in longer steps of its own. Optional.

    As a ``DuplexModel`` it is its ears; ``admit``, ``release``, ``force`` and snapshots are for both. Whoever steps it
    steps ``speaker`` too.
    """

    @property
    def speaker(self) -> Speaker: ...


@runtime_checkable
class CanAge(Protocol):
    """A model whose step costs more in old calls. Optional: who measures it wants the dearest step."""

    def age(self, row: int) -> None:
        """``row`` is as old as a row can be, whatever its memory holds."""
        ...
