"""Thresholds and patience chosen on some calls, to be judged on others. Pure.

A rule for each kind of answer: together they may cut so many turns, and be as quick as that lets them (one price for a
cut turn, the same for all kinds). Overlaps: the head, a duration, both; judged by what fires for whom.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.training.curves import (
    FRAME_MS,
    SPEAKING,
    EventScores,
    Point,
    TurnScores,
    best,
    call,
    curve,
    lasts,
)

ANSWERS: Final = {
    "yes_no": "yes_no",
    "digits": "digits",
    "date": "date",
    "name": "name",
    "code": "open",
    "amount": "open",
    "address": "open",
    "free": "open",
    "intents": "open",
    "opening": "open",
}
"""State of a simulated turn → kind of answer with a rule of its own (``agent.model.small.rules.Answer``)."""
PRICES_MS: Final = tuple(float(price) for price in np.geomspace(100, 200_000, 60))
"""What a cut turn costs against mean delay."""
SURE: Final = 0.5
Groups = Mapping[str, Sequence[TurnScores]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A score, and for how long it must hold."""

    threshold: float
    agreement_ms: int


def grouped(turns: Sequence[TurnScores]) -> dict[str, list[TurnScores]]:
    """Turns by kind of answer."""
    found: dict[str, list[TurnScores]] = defaultdict(list)
    for turn in turns:
        found[ANSWERS[turn.state]].append(turn)
    return dict(found)


def rules(turns: Sequence[TurnScores], early: float) -> dict[str, Rule]:
    """The quickest rules that together cut at most ``early`` of the turns; the most patient where none do."""
    said = grouped(turns)
    curves = {kind: curve(found) for kind, found in said.items()}
    counts = {kind: len(found) for kind, found in said.items()}
    allowed = early * sum(counts.values()) + sum(np.sqrt(early * count + 1) for count in counts.values())
    chosen = {kind: min(points, key=lambda found: (found.early, found.mean_ms)) for kind, points in curves.items()}
    for price in PRICES_MS:
        cheap = {kind: _cheapest(points, price) for kind, points in curves.items()}
        if _cut(cheap, counts) <= allowed:
            chosen = cheap
            break
    while (better := _quicker(chosen, curves, counts, allowed)) is not None:
        chosen = {**chosen, better[0]: better[1]}
    return {
        kind: Rule(threshold=found.threshold, agreement_ms=int(found.agreement_ms)) for kind, found in chosen.items()
    }


def _cheapest(points: Sequence[Point], price: float) -> Point:
    return min(points, key=lambda found: found.mean_ms + price * found.early)


def _cut(chosen: Mapping[str, Point], counts: Mapping[str, int]) -> float:
    """How many turns are cut."""
    return sum(_careful(counts[kind], found) for kind, found in chosen.items())


def _careful(count: int, found: Point) -> float:
    """Turns that a rule cuts, and one standard error more: a few turns promise nothing."""
    cut = count * found.early
    return float(cut + np.sqrt(cut + 1))


def _quicker(
    chosen: Mapping[str, Point], curves: Mapping[str, Sequence[Point]], counts: Mapping[str, int], allowed: float
) -> tuple[str, Point] | None:
    """The change of one kind's rule that saves most and still cuts few enough; ``None``: there is none."""
    best_gain, best_change = 0.0, None
    for kind, points in curves.items():
        now = chosen[kind]
        left = allowed - _cut(chosen, counts) + _careful(counts[kind], now)
        for found in points:
            gain = counts[kind] * (now.mean_ms - found.mean_ms)
            if gain > best_gain and _careful(counts[kind], found) <= left + 1e-9:
                best_gain, best_change = gain, (kind, found)
    return best_change


def single(turns: Sequence[TurnScores], early: float) -> Rule:
    """The quickest rule for all kinds alike."""
    points = curve(turns)
    found = best(points, early) or min(points, key=lambda point: point.early)
    return Rule(threshold=found.threshold, agreement_ms=int(found.agreement_ms))


def applied(turns: Sequence[TurnScores], chosen: Mapping[str, Rule]) -> dict[str, float]:
    """What the rules make of turns; those of kinds without a rule are left out."""
    calls = [
        call(turn, rule.threshold, rule.agreement_ms // FRAME_MS)
        for turn in turns
        if (rule := chosen.get(ANSWERS[turn.state])) is not None
    ]
    if not calls:
        return {"turns": 0}
    delays = np.array([found.delay_ms for found in calls])
    return {
        "turns": len(calls),
        "early": round(float(np.mean([found.early for found in calls])), 3),
        "mean_ms": round(float(delays.mean())),
        "p50_ms": round(float(np.median(delays))),
        "p90_ms": round(float(np.percentile(delays, 90))),
        "backstop": round(float(np.mean([found.missed for found in calls])), 3),
    }


# --- what sounds over our voice ---

Fires = Callable[[EventScores], float | None]
"""Milliseconds from an event's onset to where we give way, or ``None``."""


def head(threshold: float, agreement: int = 2) -> Fires:
    """P(takes) at ``threshold`` for ``agreement`` frames."""
    return lambda event: _held(event.takes >= threshold, agreement)


def duration(ms: int, veto: float = 2.0) -> Fires:
    """So much speech; with ``veto``, none where the head says with that certainty that it is not for us."""

    def fires(event: EventScores) -> float | None:
        if veto > 1 or event.leaves is None:
            return lasts(event, ms)
        spoken = np.where(event.leaves >= veto, 0.0, event.spoken)
        return lasts(EventScores(event.takes, spoken.astype(np.float32), event.kind), ms)

    return fires


def either(one: Fires, other: Fires) -> Fires:
    """What fires first."""

    def fires(event: EventScores) -> float | None:
        times = [ms for ms in (one(event), other(event)) if ms is not None]
        return min(times, default=None)

    return fires


def told(events: Sequence[EventScores], fires: Fires) -> dict[str, float | None]:
    """Share of each kind that makes us give way, and how soon for those who should."""
    kinds: dict[str, list[float | None]] = defaultdict(list)
    for event in events:
        kinds[event.kind].append(fires(event))
    times = [ms for ms in kinds["takes"] if ms is not None]
    return {
        **{kind: round(float(np.mean([ms is not None for ms in found])), 3) for kind, found in sorted(kinds.items())},
        "takes_p50_ms": float(np.median(times)) if times else None,
        "takes_in_600_ms": round(sum(ms <= 600 for ms in times) / max(1, len(kinds["takes"])), 3),
    }


def threshold_at(events: Sequence[EventScores], kind: str, share: float, agreement: int = 2) -> float:
    """The lowest threshold of the head at which at most ``share`` of the events of ``kind`` fire."""
    tops = [_top(event.takes, agreement) for event in events if event.kind == kind]
    return min(1.0, float(np.quantile(tops, 1 - share)) + 1e-6) if tops else SURE


def speaks(event: EventScores) -> bool:
    """Whether the net hears speech at all in an event."""
    return bool((event.spoken >= SPEAKING).any())


def _top(scores: NDArray[np.float32], agreement: int) -> float:
    if scores.size < agreement:
        return 0.0
    return float(np.lib.stride_tricks.sliding_window_view(scores, agreement).min(axis=1).max())


def _held(over: NDArray[np.bool_], agreement: int) -> float | None:
    runs = np.convolve(over, np.ones(agreement, np.int64), "full")[: over.size]
    found = np.flatnonzero(runs >= agreement)
    return float(found[0] + 1) * FRAME_MS if found.size else None
