"""Where the words of a clause lie while its audio is still coming: by the pace that the voice keeps. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np

from agent.voice.engine import Times, spread
from agent.voice.shape import Pcm
from agent.voice.timing import estimate, weight

FIRST_PACE: Final = 460.0
"""Samples of a unit of weight, before anything was heard: about 150 words a minute."""
NEW_SHARE: Final = 0.3


class Pace:
    """One voice's speed, learnt from the clauses that it has spoken."""

    def __init__(self) -> None:
        self._samples = FIRST_PACE

    def expected(self, spoken: tuple[str, ...]) -> int:
        """How many samples a clause will take."""
        return max(1, round(self._samples * sum(_weights(spoken))))

    def guess(self, spoken: tuple[str, ...]) -> Times:
        """Times of the words before the clause is known."""
        weights = _weights(spoken)
        edges = np.round(np.cumsum([0.0, *weights]) * self._samples).astype(int).tolist()
        return tuple(pairwise(edges))

    def learn(self, spoken: tuple[str, ...], samples: int) -> None:
        seen = samples / max(1.0, sum(_weights(spoken)))
        self._samples += NEW_SHARE * (min(max(seen, FIRST_PACE / 3), FIRST_PACE * 3) - self._samples)


def _weights(spoken: tuple[str, ...]) -> list[float]:
    last = len(spoken) - 1
    return [
        sum(weight(word, before_pause=at == last or group.endswith(",")) for word in group.split()) or 1.0
        for at, group in enumerate(spoken)
    ]


def measured(spoken: tuple[str, ...], pcm: Pcm) -> Times:
    """Times of the words in the whole audio of their clause: shared out, fixed at its pauses."""
    flat = [word for group in spoken for word in group.split()]
    return spread(spoken, estimate(flat, pcm)) if flat else ()


def stamped(count: int, starts: list[int], size: int) -> Times | None:
    """Times from the service's own word starts, where it gave one for each of ``count`` words."""
    if len(starts) != count or not count:
        return None
    ordered = [min(max(0, start), size) for start in np.maximum.accumulate(starts).tolist()]
    return tuple(zip(ordered, [*ordered[1:], size], strict=True))
