"""How likely the words are right, from what the search knows of them. Pure.

A logistic curve, fitted on recorded people and voices that training never met, talk that is no answer among them
(docs/reference/model_card_small_words.md). What tells an answer from talk is above all how much of it the words cover.
"""

from __future__ import annotations

from math import exp, log1p
from typing import Final

from agent.model.small.words_search import Found

BIAS: Final = -3.64
SHARE: Final = 0.13
"""For each nat that other readings take."""
FIT, WORST = 1.27, 0.13
"""For each nat a phone by which the words, and the worst of them, fit badly."""
COVER: Final = 7.0
"""For words that cover all that was said, against none of it."""
SIZE: Final = -0.43
"""For each e-fold of letters: long answers have more to go wrong."""
MOST_LETTERS: Final = 30


def confidence(found: Found) -> float:
    """0..1; 0 for no words."""
    if not found.words:
        return 0.0
    letters = min(MOST_LETTERS, sum(len(word.text) for word in found.words))
    size = (
        BIAS
        + SHARE * max(found.share, -20.0)
        + FIT * max(found.fit, -6.0)
        + WORST * max(found.worst, -6.0)
        + COVER * found.cover
        + SIZE * log1p(letters)
    )
    return round(1 / (1 + exp(-size)), 3)
