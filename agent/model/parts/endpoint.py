"""When is a turn over: how much silence each kind of answer needs (a table), and ``p_end`` from it.

``p_end`` is 0.5 exactly when the silence needed has been reached, and 1 at twice that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.expectation import Expect, ExpectKind
from agent.model.parts.completeness import Match, State

END_SCORE = 0.5

DIGITS_COMPLETE_MS = 140
"""All digits that were asked for: nothing can follow."""
DIGITS_OPEN_MS = 800
"""Digits of unknown number: gaps between groups are 0.3-0.7 s."""
DIGITS_ONE_SHORT_MS = 900
"""One digit short is more often a digit not heard than a pause before the last one."""
DIGITS_TWO_SHORT_MS = 1400
DIGITS_MISSING_MS = 2300
"""Callers look the rest up: pauses of up to 2.5 s; the floor's backstop is there."""
DIGITS_SHORT_MS = {1: DIGITS_ONE_SHORT_MS, 2: DIGITS_TWO_SHORT_MS}
YES_MS = 250
NO_MS = 380
"""A correction often follows a no."""
PHRASE_MS = 260
PHRASE_OPEN_MS = 340
"""A whole phrase that has an optional rest."""
DATE_MS = 320
DATE_OPEN_MS = 500
"""A weekday may be followed by its date."""
PREFIX_MS = 2300
YES_NO_PREFIX_MS = 700
"""A lone "that's" is more often a yes misheard than a sentence begun."""
OUTSIDE_MS = 650
HANGING_MS = 1500
MISHEARD_MS = 850
"""Speech too long or too short for its words: a beginning found in it is no reason to wait for the rest."""
NOT_HEARD_MS = 620
"""The recogniser has rejected the speech, or has not said anything yet."""

WITHOUT_WORDS_MS: dict[ExpectKind, int] = {
    ExpectKind.UNKNOWN: 600,
    ExpectKind.FREE: 700,
    ExpectKind.YES_NO: 350,
    ExpectKind.DIGITS: 700,
    ExpectKind.DATE: 600,
    ExpectKind.PHRASES: 560,
}
"""No recogniser at all: patience by what is expected."""
WITHOUT_WORDS_SHORT_MS = 2300
"""No recogniser, and the speech was clearly too short for the digits that were asked for."""
SHORTEST_DIGIT_MS = 220
"""Of fluent speech; synthetic callers take 270-300."""


def needed_silence_ms(match: Match, *, misheard: bool = False) -> int:
    """Silence that ends a turn whose words stand to what is expected as ``match`` says.

    ``misheard``: the speech was too long or too short for the words.
    """
    if match.state is State.SILENT:
        return NOT_HEARD_MS
    if match.state is State.COMPLETE:
        return _complete_ms(match)
    if match.answer is ExpectKind.DIGITS and match.missing:
        return DIGITS_SHORT_MS.get(match.missing, DIGITS_MISSING_MS)
    needed_ms = _begun_ms(match)
    return min(needed_ms, MISHEARD_MS) if misheard else needed_ms


def _begun_ms(match: Match) -> int:
    if match.state is State.OUTSIDE:
        return HANGING_MS if match.hanging else OUTSIDE_MS
    return YES_NO_PREFIX_MS if match.answer is ExpectKind.YES_NO else PREFIX_MS


def _complete_ms(match: Match) -> int:
    if match.answer is ExpectKind.DIGITS:
        return DIGITS_OPEN_MS if match.may_go_on else DIGITS_COMPLETE_MS
    if match.answer is ExpectKind.YES_NO:
        return NO_MS if match.negative else YES_MS
    if match.answer is ExpectKind.DATE:
        return DATE_OPEN_MS if match.may_go_on else DATE_MS
    return PHRASE_OPEN_MS if match.may_go_on else PHRASE_MS


def needed_silence_without_words_ms(expect: Expect, spoken_ms: int) -> int:
    """Silence that ends a turn of which only the length of its speech is known."""
    if expect.kind is ExpectKind.DIGITS and expect.digits and spoken_ms < expect.digits * SHORTEST_DIGIT_MS:
        return WITHOUT_WORDS_SHORT_MS
    return WITHOUT_WORDS_MS[expect.kind]


def p_end(silence_ms: NDArray[np.int64], needed_ms: NDArray[np.int64]) -> NDArray[np.float32]:
    """``[R]`` silence and silence needed → ``[R]`` 0..1; 0.5 where they are equal."""
    share = END_SCORE * silence_ms / np.maximum(needed_ms, 1)
    return np.minimum(share, 1.0).astype(np.float32)
