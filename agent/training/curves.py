"""From scores to what counts: were turns cut, how late was their end seen, were interruptions told from the rest. Pure.

Per *turn* and per *event*, never per frame (small_model.md 4, duplex.md 7). Times in frames of 40 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FRAME_MS: Final = 40
BACKSTOP_MS: Final = 1200
"""A turn whose end is not seen by then is ended by a timer, and counts as this late."""
THRESHOLDS: Final = (0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
AGREEMENTS: Final = (2, 3, 5, 8, 11, 16)
"""Frames in a row over the threshold: 80 to 640 ms."""
SPEAKING: Final = 0.5
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TurnScores:
    """One turn, from its start to 1.2 s after its end or to our answer."""

    end: Scores
    """P(over) of each frame."""
    speech: Scores
    """P(speaking)."""
    last: int
    """Frames from the start to the turn's end."""
    state: str
    pauses: tuple[int, ...]
    """Lengths of its pauses in frames."""
    human: bool = False
    voice: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """What one rule made of one turn."""

    early: bool
    delay_ms: float
    """From the turn's last sample; the backstop's where nothing was called."""
    missed: bool


@dataclass(frozen=True, slots=True)
class Point:
    """One rule on all turns."""

    threshold: float
    agreement_ms: int
    early: float
    """Share of turns that were cut."""
    mean_ms: float
    p50_ms: float
    p90_ms: float
    missed: float


def call(turn: TurnScores, threshold: float, agreement: int) -> Call:
    """Whether the rule cuts the turn, and how late it sees its end."""
    over = (turn.end >= threshold) & (turn.speech < SPEAKING)
    runs = np.convolve(over, np.ones(agreement, np.int64), "full")[: over.size]
    called = np.flatnonzero(runs >= agreement)
    early = bool(called.size and called[0] < turn.last)
    after = called[called >= turn.last]
    if not after.size:
        return Call(early, BACKSTOP_MS, True)
    return Call(early, min(BACKSTOP_MS, float(after[0] + 1 - turn.last) * FRAME_MS), False)


def point(turns: Sequence[TurnScores], threshold: float, agreement: int) -> Point:
    """One rule on all turns."""
    calls = [call(turn, threshold, agreement) for turn in turns]
    delays = np.array([found.delay_ms for found in calls])
    return Point(
        threshold=threshold,
        agreement_ms=agreement * FRAME_MS,
        early=float(np.mean([found.early for found in calls])),
        mean_ms=float(delays.mean()),
        p50_ms=float(np.median(delays)),
        p90_ms=float(np.percentile(delays, 90)),
        missed=float(np.mean([found.missed for found in calls])),
    )


def curve(turns: Sequence[TurnScores]) -> list[Point]:
    """All rules."""
    return [point(turns, threshold, agreement) for threshold in THRESHOLDS for agreement in AGREEMENTS]


def best(points: Sequence[Point], early: float) -> Point | None:
    """The quickest rule that cuts at most ``early`` of the turns."""
    allowed = [found for found in points if found.early <= early]
    return min(allowed, key=lambda found: found.mean_ms) if allowed else None


def timer(turns: Sequence[TurnScores], ms: int) -> float:
    """Share of turns that a timer of ``ms`` on a perfect ear would cut."""
    return float(np.mean([any(pause * FRAME_MS >= ms for pause in turn.pauses) for turn in turns]))


@dataclass(frozen=True, slots=True)
class EventScores:
    """One sound over our voice, from its onset to 0.3 s after its end or our silence."""

    takes: Scores
    """P(takes the floor) of each frame."""
    spoken: Scores
    """P(speaking)."""
    kind: str
    leaves: Scores | None = None
    """P(side talk, noise or echo) of each frame."""
    text: str = ""


def fired(event: EventScores, threshold: float, agreement: int = 2) -> float | None:
    """Milliseconds from onset to where the event is taken for an interruption; ``None``: never."""
    over = event.takes >= threshold
    runs = np.convolve(over, np.ones(agreement, np.int64), "full")[: over.size]
    found = np.flatnonzero(runs >= agreement)
    return float(found[0] + 1) * FRAME_MS if found.size else None


def lasts(event: EventScores, ms: int, bridge: int = 3) -> float | None:
    """The duration rule: ``ms`` of speech, gaps of at most ``bridge`` frames in it counted; ``None``: never."""
    wanted, run, gap = ms // FRAME_MS, 0, 0
    for index, spoken in enumerate(event.spoken >= SPEAKING):
        gap = 0 if spoken else gap + 1
        run = run + 1 if (run and gap <= bridge) or spoken else 0
        if spoken and run >= wanted:
            return float(index + 1) * FRAME_MS
    return None


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that a positive scores above a negative; 0.5 where one is missing."""
    if not len(positive) or not len(negative):
        return 0.5
    ordered = np.sort(np.asarray(negative))
    low = np.searchsorted(ordered, positive, side="left")
    high = np.searchsorted(ordered, positive, side="right")
    return float(np.mean((low + high) / 2) / len(negative))
