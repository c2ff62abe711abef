"""What a turn controller would have made of recorded calls: from the moments at which it calls a turn over. Pure.

A moment counts as a takeover when it falls into a pause of the caller (up to 0.2 s after it), and as the answer of a
turn when it is the first behind it. Nothing is added for words, brain, voice and wire: a real agent with such a
controller is slower by those, whichever controller it has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from agent.bench.evidence import CallEvidence
from agent.bench.metrics import AFTER_HOLD_S, ANSWER_WINDOW_S, EARLY_S
from agent.bench.statistics import MISS, Proportion, bootstrap, ms, number, percentile
from agent.model.parts.levels import Floats
from agent.scheduler.floor.profile import FloorProfile
from agent.simulator.truth import EventType

STEP_MS: Final = 20
STEP_S: Final = STEP_MS / 1000
_FLOOR: Final = FloorProfile()
AGREE_STEPS: Final = _FLOOR.agree_ms // STEP_MS
BACKSTOP_STEPS: Final = _FLOOR.backstop_ms // STEP_MS


@dataclass(frozen=True, slots=True)
class Judged:
    """A call, and when a controller called a turn over: seconds on the caller's clock."""

    call: CallEvidence
    at: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """What ears said of a call, step by step: ``[steps]`` each."""

    p_end: Floats
    p_speech: Floats

    def ends(self, score: float) -> tuple[float, ...]:
        """When a floor with ``end_score`` = ``score`` would have ended turns."""
        quiet = self.p_speech < _FLOOR.speech_off
        over = _begins(_held((self.p_end >= score) & quiet, AGREE_STEPS))
        hung = _begins(_held(quiet, BACKSTOP_STEPS))
        return tuple(sorted({round(float(step + 1) * STEP_S, 3) for step in (*over, *hung)}))


def _held(flags: np.ndarray[Any, Any], steps: int) -> np.ndarray[Any, Any]:
    """Where ``flags`` have been set for ``steps`` in a row."""
    runs = np.convolve(flags, np.ones(steps, np.int64), "full")[: flags.size]
    return np.asarray(runs >= steps)


def _begins(flags: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.flatnonzero(flags & ~np.concatenate(([False], flags[:-1])))


def turn_figures(calls: Sequence[Judged]) -> dict[str, Any]:
    """Latency and pause takeover of one controller at one setting; a turn that it cut has no latency."""
    latencies: dict[str, list[float]] = {}
    taken = holds = 0
    for judged in calls:
        for hold in judged.call.of(EventType.HOLD):
            holds += 1
            taken += any(hold.start < at <= hold.end + AFTER_HOLD_S for at in judged.at)
        for turn in judged.call.of(EventType.TURN):
            if turn.expect == "reply" and not any(turn.start < at < turn.end - EARLY_S for at in judged.at):
                after = [at - turn.end for at in judged.at if -EARLY_S <= at - turn.end <= ANSWER_WINDOW_S]
                latencies.setdefault(judged.call.call, []).append(after[0] if after else MISS)
    values = [value for found in latencies.values() for value in found]
    low, high = bootstrap(latencies, lambda some: percentile(some, 0.5))
    pauses = Proportion(taken, holds)
    return {
        "response_ms": {
            "n": len(values),
            "misses": sum(math.isinf(one) for one in values),
            "p50": ms(percentile(values, 0.5)),
            "p95": ms(percentile(values, 0.95)),
            "p50_interval": [ms(low), ms(high)],
        },
        "pause_takeover": number(pauses.share),
        "pauses": {"n": holds, "interval": [number(end) for end in pauses.interval]},
    }


def latency_at(points: Sequence[Mapping[str, Any]], takeover: float) -> float | None:
    """The least p50 in ms of the settings that take at most ``takeover`` of the pauses; ``None``: there is none."""
    found = [
        float(point["response_ms"]["p50"])
        for point in points
        if point["pause_takeover"] is not None
        and point["pause_takeover"] <= takeover
        and point["response_ms"]["p50"] is not None
    ]
    return min(found, default=None)
