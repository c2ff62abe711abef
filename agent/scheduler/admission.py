"""How many rows a worker offers, and what it gives up first when steps take longer than they should. Pure."""

from __future__ import annotations

import math
from enum import IntEnum
from itertools import pairwise
from typing import Final

CURVE: Final = (1, 8, 16, 32, 64, 128, 256, 512)
"""Batch sizes whose step is measured at start."""
HYSTERESIS: Final = 0.1
"""A level is left when the load is that much below its threshold."""
DWELL_S: Final = 2.0
"""A level is kept at least that long."""

SMOOTHING: Final = 0.3
"""Weight of the last second in the load: three bad seconds count, one does not."""


class Degradation(IntEnum):
    """What is given up, in this order; all of it comes back. Live calls keep their voice."""

    NORMAL = 0
    NO_PREPARATION = 1
    """No early preparation of answers, and no backchannels of our own."""
    NO_NEW_CALLS = 2


THRESHOLDS: Final = {
    Degradation.NO_PREPARATION: 0.70,
    Degradation.NO_NEW_CALLS: 0.90,
}
"""Share of a step that all its batches together take (p95 of a second, smoothed)."""


def percentile(values: list[float], share: float) -> float:
    """The smallest value that is not below ``share`` of ``values``; 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


class StepCosts:
    """Measured p99 of one step by batch size; linear between the measured sizes and beyond the last."""

    def __init__(self, p99_ms: dict[int, float], *, worst_ms: dict[int, float] | None = None) -> None:
        """``worst_ms``: the same of the worst window that was measured, to tell how much the machine's others took."""
        if not p99_ms:
            raise ValueError("no batch size was measured")
        self.p99_ms = dict(sorted(p99_ms.items()))
        self.worst_ms = dict(sorted((worst_ms or p99_ms).items()))

    def at(self, rows: int) -> float:
        """p99 in milliseconds of a batch of ``rows``."""
        points = list(self.p99_ms.items())
        if rows <= points[0][0] or len(points) == 1:
            return points[0][1] * (1.0 if rows <= points[0][0] else rows / points[0][0])
        for (low, low_ms), (high, high_ms) in pairwise(points):
            if rows <= high or high == points[-1][0]:
                return low_ms + (high_ms - low_ms) * (rows - low) / (high - low)
        raise AssertionError("unreachable: the last pair takes every size")

    def rows_within(self, budget_ms: float, *, phases: int, limit: int) -> int:
        """Largest number of rows, spread over ``phases`` batches per step, whose steps together fit the budget."""
        fitting = 0
        for rows in range(1, limit + 1):
            batches = min(phases, rows)
            if batches * self.at(math.ceil(rows / batches)) <= budget_ms:
                fitting = rows
        return fitting


class Admission:
    """Decides on new seats and the degradation level from measured step times."""

    def __init__(self, *, offered: int, step_ms: int, budget: float = 0.6) -> None:
        self.measured = offered
        """Rows by memory and by the step times measured at start."""
        self.offered = offered
        """Rows offered now: fewer while the running calls alone fill the budget."""
        self.level = Degradation.NORMAL
        self.load = 0.0
        self.draining = False
        self._step_s = step_ms / 1000
        self._budget = budget
        self._level_since = 0.0

    def refusal(self, seats: int) -> str | None:
        """Reason slug why no seat can be opened beside ``seats`` others, or ``None``."""
        if self.draining:
            return "draining"
        if seats >= self.offered or self.level >= Degradation.NO_NEW_CALLS:
            return "pool_full"
        return None

    def observe(self, busy_s: list[float], *, seats: int, now: float) -> None:
        """Take in about a second: for each step's time, how much of it was spent in steps (all phases together)."""
        latest = percentile(busy_s, 0.95) / self._step_s  # of 50 steps the p99 is the one that a neighbour pre-empted
        self.load += SMOOTHING * (latest - self.load)
        self._move_level(now)
        if self.load > self._budget:
            self.offered = min(self.offered, max(seats, 1))
        elif self.load < self._budget - HYSTERESIS:
            self.offered = self.measured

    def _move_level(self, now: float) -> None:
        if now - self._level_since < DWELL_S:
            return
        level = self.level
        if level < max(Degradation) and self.load >= THRESHOLDS[Degradation(level + 1)]:
            self.level, self._level_since = Degradation(level + 1), now
        elif level > Degradation.NORMAL and self.load < THRESHOLDS[level] - HYSTERESIS:
            self.level, self._level_since = Degradation(level - 1), now
