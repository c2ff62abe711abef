"""Percentiles that keep their misses, intervals, and a bootstrap over calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.wilson import Z95, wilson

MISS = math.inf
"""The latency of an answer that never came: it stays in every percentile."""


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

    def to_json(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "n": self.n,
            "hits": self.hits,
            "share": number(self.share),
            "interval": (number(low), number(high)),
        }


@dataclass(frozen=True, slots=True)
class Rate:
    """Events counted over a time, with an interval for their rate."""

    events: int
    minutes: float

    @property
    def per_minute(self) -> float:
        return self.events / self.minutes if self.minutes else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, Poisson, by Byar's approximation (Breslow & Day 1987, 2.3)."""
        if not self.minutes:
            return (0.0, math.inf)
        return (self._byar(self.events, -1) / self.minutes, self._byar(self.events + 1, 1) / self.minutes)

    @staticmethod
    def _byar(events: int, side: int) -> float:
        if not events:
            return 0.0
        return events * float(max(0.0, 1 - 1 / (9 * events) + side * Z95 / (3 * math.sqrt(events))) ** 3)

    def to_json(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "events": self.events,
            "minutes": round(self.minutes, 3),
            "per_minute": number(self.per_minute),
            "interval": (number(low), number(high)),
        }


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
