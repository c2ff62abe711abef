"""How likely the words are right, from what the search knows of them. Pure.

A logistic curve, fitted on speakers and voices that training never met (docs/reference/model_card_small_words.md).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from agent.model.small.words_search import Found

BIAS: Final = 3.0
SHARE: Final = 0.6
"""For each nat that other readings take."""
WORST: Final = 1.0
"""For each nat by which the worst word fits badly."""


def confidence(found: Found) -> float:
    """0..1; 0 for no words."""
    if not found.words:
        return 0.0
    size = BIAS + SHARE * max(found.share, -20.0) + WORST * max(found.worst, -5.0)
    return round(float(1 / (1 + np.exp(-size))), 3)
