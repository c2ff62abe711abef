"""How long people are silent. One distribution for pauses inside a turn and for our answer after it.

If the two differed, a net would learn a timer: the length of a silence must say nothing about what it is.
"""

from __future__ import annotations

from typing import Final

import numpy as np

RATE_HZ: Final = 8000
MEDIAN_S: Final = 0.55
SPREAD: Final = 0.6
SHORTEST_S, LONGEST_S = 0.2, 2.6
BETWEEN_PEOPLE: Final = ((0.55, 0.2, 0.2), (0.3, -0.15, 0.2))
"""(share, mean, deviation) in seconds of a caller's answer after our question; the rest has a long tail."""
TAIL_S: Final = 0.8


def silence(rng: np.random.Generator) -> int:
    """Samples of a pause inside a turn, or of the silence before we answer."""
    seconds = MEDIAN_S * np.exp(SPREAD * rng.standard_normal())
    while not SHORTEST_S <= seconds <= LONGEST_S:
        seconds = MEDIAN_S * np.exp(SPREAD * rng.standard_normal())
    return round(float(seconds) * RATE_HZ)


def reaction(rng: np.random.Generator) -> int:
    """Samples from our last sample to the caller's first; below zero where the caller does not wait for our end."""
    draw = rng.random()
    for share, mean, deviation in BETWEEN_PEOPLE:
        if draw < share:
            return round((mean + deviation * rng.standard_normal()) * RATE_HZ)
        draw -= share
    return round((0.3 + rng.exponential(TAIL_S)) * RATE_HZ)
