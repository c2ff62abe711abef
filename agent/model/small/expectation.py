"""What the brain waits for, as a vector for the net. Pure.

A wrong expectation is worse than none (small_model.md 13), so "unknown" is a value of its own. The net counts digits
itself: the vector stays the same during a turn.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.expectation import Expect, ExpectKind

KINDS: Final = (
    ExpectKind.UNKNOWN, ExpectKind.FREE, ExpectKind.YES_NO, ExpectKind.DIGITS, ExpectKind.DATE, ExpectKind.PHRASES,
)  # fmt: skip
DETAILS: Final = ("name", "address", "code", "amount")
"""Kinds of free speech that a brain may tell apart."""
DIGITS_KNOWN, DIGITS_WANTED, HAS_CHECK, ALSO_YES_NO, PHRASES, WORDS = range(
    len(KINDS) + len(DETAILS), len(KINDS) + len(DETAILS) + 6
)
SIZE: Final = WORDS + 1
MOST_DIGITS: Final = 16.0
MOST_PHRASES: Final = 64.0
MOST_WORDS: Final = 12.0


def vector(expect: Expect, detail: str = "") -> NDArray[np.float32]:
    """float32[SIZE], each in 0..1. ``detail`` is one of ``DETAILS`` or empty."""
    out = np.zeros(SIZE, np.float32)
    out[KINDS.index(expect.kind)] = 1
    if detail:
        out[len(KINDS) + DETAILS.index(detail)] = 1
    if expect.kind is ExpectKind.DIGITS or expect.digits is not None:
        out[DIGITS_KNOWN] = expect.digits is not None
        out[DIGITS_WANTED] = min(1.0, (expect.digits or 0) / MOST_DIGITS)
        out[HAS_CHECK] = expect.check not in (None, "none")
    out[ALSO_YES_NO] = expect.also_yes_no
    if expect.phrases:
        words = [len(phrase.split()) for phrase in expect.phrases]
        out[PHRASES] = min(1.0, np.log1p(len(words)) / np.log1p(MOST_PHRASES))
        out[WORDS] = min(1.0, float(np.mean(words)) / MOST_WORDS)
    return out
