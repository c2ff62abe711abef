"""What simple controllers would have done on the same calls: a silence timer, and stopping for any sound.

Both hear the caller as sent, noise and all, through an energy detector at the agent's threshold, and cost no time of
their own: a real agent with such a controller is slower by its words and its voice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.bench.decisions import Judged, turn_figures
from agent.bench.evidence import OVERLAPS, CallEvidence
from agent.bench.metrics import AFTER_OVERLAP_S, YIELD_LIMIT_S
from agent.bench.statistics import MISS, Proportion, ms, number, percentile, share_within
from agent.simulator.energy import Pcm, Span, agent_spans
from agent.simulator.truth import EventType, TruthEvent

TIMERS_S = (0.3, 0.5, 0.7, 1.0)
STOP_AFTER_S = 0.2
"""VAD-stop barge-in: yields to any sound of at least this length."""
STOP_GAP_S = 0.1


@dataclass(frozen=True, slots=True)
class HeardCall:
    """A call with the caller's channel as sent."""

    call: CallEvidence
    caller: Pcm


def timer_figures(calls: Sequence[HeardCall], timer_s: float) -> dict[str, Any]:
    """Response latency and pause takeover of a silence timer."""
    return turn_figures([Judged(heard.call, timer_ends(heard, timer_s)) for heard in calls])


def timer_ends(heard: HeardCall, timer_s: float) -> tuple[float, ...]:
    """When a silence timer would have ended turns."""
    return tuple(span.end + timer_s for span in _timed(agent_spans(heard.caller), timer_s))


def _timed(spans: list[Span], timer_s: float) -> list[Span]:
    """Spans behind which the caller is silent for the timer's length."""
    following = [span.start for span in spans[1:]] + [math.inf]
    return [span for span, after in zip(spans, following, strict=True) if after - span.end >= timer_s]


def stop_figures(calls: Sequence[HeardCall]) -> dict[str, Any]:
    """Yield latency and selectivity of stopping for any sound of 200 ms."""
    spans = {id(heard): agent_spans(heard.caller) for heard in calls}
    return overlap_figures(
        calls, lambda heard, event: _stop_at(spans[id(heard)], event.start, event.end + AFTER_OVERLAP_S)
    )


def overlap_figures(
    calls: Sequence[HeardCall], stop_at: Callable[[HeardCall, TruthEvent], float | None]
) -> dict[str, Any]:
    """Yield latency and selectivity of a controller that stops at ``stop_at(call, event)``, or not at all."""
    stops: list[float] = []
    right: dict[EventType, list[bool]] = {}
    for heard in calls:
        for event in heard.call.events:
            if event.type not in OVERLAPS or not event.sent or not heard.call.agent_had_more(event):
                continue
            at = stop_at(heard, event)
            if event.type is EventType.INTERRUPT:
                stops.append(MISS if at is None else at - event.start)
            else:
                right.setdefault(event.type, []).append(at is None)
    return {
        "yield_ms": {
            "n": len(stops),
            "p50": ms(percentile(stops, 0.5)),
            "p95": ms(percentile(stops, 0.95)),
            "yr2": number(share_within(stops, YIELD_LIMIT_S)),
        },
        "selectivity": {
            str(type_): number(Proportion(sum(one), len(one)).share) for type_, one in sorted(right.items())
        },
    }


def _stop_at(spans: list[Span], start: float, until: float) -> float | None:
    """When sound has lasted long enough, gaps inside it forgiven up to 100 ms."""
    begun: float | None = None
    last = -math.inf
    for span in spans:
        if span.end <= start or span.start >= until:
            continue
        from_ = max(span.start, start)
        if begun is None or from_ - last > STOP_GAP_S:
            begun = from_
        if span.end - begun >= STOP_AFTER_S:
            return max(begun + STOP_AFTER_S, from_)
        last = span.end
    return None


def baseline_figures(calls: Sequence[HeardCall]) -> dict[str, Any]:
    timers = {f"timer_{round(timer_s * 1000)}_ms": timer_figures(calls, timer_s) for timer_s in TIMERS_S}
    return {**timers, "vad_stop": stop_figures(calls)}
