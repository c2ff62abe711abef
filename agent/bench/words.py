"""Which words were heard: heard text and resume, judged by the marker voice.

Word k of a marker answer is a tone pair that says k (mod 64), so that what the caller got is read from the audio
itself. ``MarkerWord.start`` and ``end`` are on the caller's clock.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from agent.bench.statistics import Proportion

MARKER_CYCLE = 64
WORD_S = 0.12
WHOLE_WORD_S = 0.11
"""Of 120 ms of tones; the decoder's edges are right to 3 ms, a packet is 20 ms."""
HALF_WORD_S = 0.06


@dataclass(frozen=True, slots=True, order=True)
class MarkerWord:
    """One word decoded from the audio."""

    start: float
    end: float
    index: int
    """Position in the answer: unwrapped, not modulo 64."""


def unwrapped(words: Sequence[tuple[int, float, float]], *, first: int = 0) -> list[MarkerWord]:
    """(k mod 64, start, end) in order of time → words with positions that count on from near ``first``."""
    found: list[MarkerWord] = []
    near = first
    for k, start, end in words:
        half = MARKER_CYCLE // 2
        index = near + (k - near + half) % MARKER_CYCLE - half
        found.append(MarkerWord(start, end, index))
        near = index
    return found


def received(words: Sequence[MarkerWord]) -> int:
    """Words of one answer, in order, whose last sample was received.

    The last of them may have been cut: it counts where it is whole. Behind any other came more, so it was said to its
    end; it counts where a half of it can be heard, in one piece or in several.
    """
    sounds: dict[int, float] = {}
    for word in words:
        sounds[word.index] = sounds.get(word.index, 0.0) + word.end - word.start
    if not sounds:
        return 0
    last = words[-1].index
    return sum(length >= (WHOLE_WORD_S if index == last else HALF_WORD_S) for index, length in sounds.items())


def received_by_length(sounding_s: float) -> int:
    """Words that make up that much of tones, where none is missing; the last counts where it is whole."""
    return int((sounding_s + WORD_S - WHOLE_WORD_S) / WORD_S + 1e-9)


@dataclass(frozen=True, slots=True)
class HeardText:
    """True and claimed count of heard words at each yield."""

    errors: tuple[int, ...]
    """Claimed − true."""

    @property
    def within_one(self) -> Proportion:
        return Proportion(sum(abs(error) <= 1 for error in self.errors), len(self.errors))

    @property
    def over_claim(self) -> Proportion:
        return Proportion(sum(error >= 2 for error in self.errors), len(self.errors))

    @property
    def mean_error(self) -> float:
        return sum(self.errors) / len(self.errors) if self.errors else math.nan


def heard_text(pairs: Sequence[tuple[int, int]]) -> HeardText:
    """(true, claimed) per yield."""
    return HeardText(tuple(claimed - true for true, claimed in pairs))


@dataclass(frozen=True, slots=True)
class Resumption:
    """One resumed answer: how many words had been fully received, and where it went on."""

    heard: int
    next_word: int | None
    """Index of the first word spoken after the stop; ``None`` if nothing followed."""
    clauses: tuple[int, ...]
    """Index of the first word of each clause, ascending, beginning with 0."""

    @property
    def verdict(self) -> str:
        """``correct`` (at the first word not heard, or back to the start of its clause), ``skipped``, ``repeated``."""
        if self.next_word is None or self.next_word > self.heard:
            return "skipped"
        clause = self.clauses[max(0, bisect_right(self.clauses, self.heard) - 1)]
        return "correct" if self.next_word >= clause else "repeated"


@dataclass(frozen=True, slots=True)
class Resumes:
    """Shares of resumed answers."""

    correct: Proportion
    skipped: Proportion
    repeated: Proportion


def resumes(found: Sequence[Resumption]) -> Resumes:
    verdicts = [one.verdict for one in found]
    n = len(verdicts)
    return Resumes(
        correct=Proportion(verdicts.count("correct"), n),
        skipped=Proportion(verdicts.count("skipped"), n),
        repeated=Proportion(verdicts.count("repeated"), n),
    )
