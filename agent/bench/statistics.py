"""Percentiles that keep their misses, intervals, and a bootstrap over calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MISS = math.inf
"""The latency of an answer that never came: it stays in every percentile."""
Z95 = 1.959964


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank (the smallest value that ``share`` of all reach); misses count as infinite. NaN if empty."""
    if not values:
        return math.nan
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked) - 1e-9) - 1)]


def share_within(values: Sequence[float], limit: float) -> float:
    """Share of ``values`` that are at most ``limit``. NaN if empty."""
    return sum(value <= limit for value in values) / len(values) if values else math.nan


@dataclass(frozen=True, slots=True)
class Proportion:
    """A counted share with its Wilson 95 % interval."""

    hits: int
    n: int

    @property
    def share(self) -> float:
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.hits, self.n)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson score interval of a proportion at 95 %."""
    if n == 0:
        return (0.0, 1.0)
    share, z2 = hits / n, Z95 * Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return (max(0.0, middle - half), min(1.0, middle + half))


def bootstrap(
    by_call: Mapping[str, Sequence[float]],
    statistic: Callable[[Sequence[float]], float],
    *,
    resamples: int = 1000,
    seed: int = 20260511,
) -> tuple[float, float]:
    """95 % interval of ``statistic`` over calls drawn with replacement: events of one call stay together."""
    calls = [list(values) for values in by_call.values() if values]
    if not calls:
        return (math.nan, math.nan)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        picked = rng.integers(0, len(calls), len(calls))
        found.append(statistic([value for index in picked for value in calls[index]]))
    return (percentile(found, 0.025), percentile(found, 0.975))


def ms(seconds: float) -> float | None:
    """Seconds as JSON milliseconds; ``None`` for "never" and "no data": JSON has no infinity."""
    return round(seconds * 1000, 1) if math.isfinite(seconds) else None


def number(value: float, digits: int = 4) -> float | None:
    """A JSON number; ``None`` where there is none."""
    return round(value, digits) if math.isfinite(value) else None
