"""The seam between ears and recognisers. Nothing here blocks: audio goes in, hypotheses are fetched later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.expectation import Expect


class Mode(StrEnum):
    """What an utterance is listened to for."""

    ANSWER = "answer"
    """Our voice is silent: what the brain expects, or anything."""
    OVERLAP = "overlap"
    """Spoken into our voice: floor-taking words, backchannels, what the brain expects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What an utterance is, so far. Replaces the utterance's earlier hypothesis."""

    row: int
    utterance: int
    """As ``start`` returned it; hypotheses of an older one are stale."""
    words: tuple[str, ...]
    final: bool
    confidence: float
    """0..1; 0 with no words: rejected."""
    samples: int
    """Samples of the utterance that were heard for this."""
    sure: bool = False
    """Said over our voice, they need nothing to confirm them: no further hypothesis, no other judge."""


class Recogniser(Protocol):
    """One instance serves all rows; called from the model's thread only."""

    @property
    def gives_words(self) -> bool:
        """False: no words will ever come (keys and timing only)."""
        ...

    @property
    def is_late(self) -> bool:
        """True: final words come a while after ``stop`` (a server gives them), so that turns must wait for them.

        Such a recogniser is stopped early, and goes on with the words of an utterance that it still owes when the
        next one is opened.
        """
        ...

    def expect(self, row: int, expect: Expect) -> None:
        """The next utterances of ``row`` will be heard for that: a hint, to make ready what they need."""
        ...

    def start(self, row: int, expect: Expect, mode: Mode) -> int:
        """Open an utterance on ``row`` and return its number. An open one is dropped."""
        ...

    def feed(self, row: int, pcm: NDArray[np.int16]) -> None:
        """Audio of the open utterance: ``[n]`` int16, 8 kHz. Ignored when there is none."""
        ...

    def stop(self, row: int) -> None:
        """The utterance is over: its final hypothesis follows."""
        ...

    def cancel(self, row: int) -> None:
        """Drop the utterance; nothing more comes of it."""
        ...

    def release(self, row: int) -> None:
        """The call on this row is over: what was kept for it goes."""
        ...

    def poll(self) -> Sequence[Hypothesis]:
        """Hypotheses since the last call, oldest first."""
        ...

    def close(self) -> None: ...


class NoRecogniser:
    """No words: ears work by timing, callers by keys."""

    gives_words = False
    is_late = False

    def expect(self, row: int, expect: Expect) -> None:
        return

    def start(self, row: int, expect: Expect, mode: Mode) -> int:
        return 0

    def feed(self, row: int, pcm: NDArray[np.int16]) -> None:
        return

    def stop(self, row: int) -> None:
        return

    def cancel(self, row: int) -> None:
        return

    def release(self, row: int) -> None:
        return

    def poll(self) -> Sequence[Hypothesis]:
        return ()

    def close(self) -> None:
        return
