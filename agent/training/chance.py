"""Draws by weight. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def weighted(choices: Sequence[tuple[T, float]], rng: np.random.Generator) -> T:
    """One of ``(value, weight)``; weights need not sum to one."""
    draw = rng.random() * sum(weight for _, weight in choices)
    for value, weight in choices:
        draw -= weight
        if draw < 0:
            return value
    return choices[-1][0]


def one_of(values: Sequence[T], rng: np.random.Generator) -> T:
    """One of ``values``, each as likely."""
    return values[int(rng.integers(len(values)))]
