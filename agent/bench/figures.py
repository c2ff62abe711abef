"""Evidence to one object of figures: the same names for load and for the duplex bench."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.bench import metrics
from agent.bench.evidence import CallEvidence
from agent.bench.statistics import Proportion, bootstrap, ms, number, percentile, share_within
from agent.bench.transport import Punctuality
from agent.simulator.truth import EventType

CLASS_NAMES = {
    EventType.BACKCHANNEL: "backchannel",
    EventType.TIC: "tic",
    EventType.SIDE_TALK: "side_talk",
    EventType.NOISE: "noise",
}


def latency_figures(by_call: dict[str, list[float]]) -> dict[str, Any]:
    """n, misses and percentiles of latencies in milliseconds; a percentile that falls on a miss is ``None``."""
    values = [value for found in by_call.values() for value in found]
    low, high = bootstrap(by_call, lambda some: percentile(some, 0.5))
    return {
        "n": len(values),
        "misses": sum(value == float("inf") for value in values),
        "p50": ms(percentile(values, 0.50)),
        "p90": ms(percentile(values, 0.90)),
        "p95": ms(percentile(values, 0.95)),
        "p99": ms(percentile(values, 0.99)),
        "p50_interval": [ms(low), ms(high)],
    }


def proportion(found: Proportion) -> dict[str, Any]:
    low, high = found.interval
    return {"share": number(found.share), "n": found.n, "interval": [number(low), number(high)]}


def conversation_figures(calls: Sequence[CallEvidence]) -> dict[str, Any]:
    """Everything of one set of calls that is about talking."""
    answered = metrics.responses(calls)
    content, anything = _grouped([(one.call, one.content_s) for one in answered]), [one.any_s for one in answered]
    gave_way, selected = metrics.yields(calls), metrics.selections(calls)
    yield_s = [one.yield_s for one in gave_way]
    pauses = metrics.pause_takeover(calls)
    return {
        "response_ms": {
            **latency_figures(content),
            "any_p50": ms(percentile(anything, 0.5)),
            "any_p95": ms(percentile(anything, 0.95)),
            "within": {
                f"{limit}_s": number(share_within([one.content_s for one in answered], limit))
                for limit in (0.4, 0.8, 1.5)
            },
        },
        "pause_takeover": number(pauses.share),
        "pauses": {
            **proportion(pauses),
            "buckets": {
                f"{low}-{high}_s": proportion(metrics.pause_takeover(calls, shortest_s=low, longest_s=high))
                for low, high in metrics.PAUSE_BUCKETS_S
            },
        },
        "false_starts_per_100_turns": number(metrics.false_starts_per_100_turns(calls), 2),
        "yield_ms": {
            **latency_figures(_grouped([(one.call, one.yield_s) for one in gave_way])),
            "yr2": number(share_within(yield_s, metrics.YIELD_LIMIT_S)),
            "yr06": number(share_within(yield_s, metrics.FAST_YIELD_S)),
        },
        "cut_ms": {
            **latency_figures(_grouped([(one.call, one.cut_s) for one in gave_way])),
            "yr2": number(share_within([one.cut_s for one in gave_way], metrics.YIELD_LIMIT_S)),
        },
        "duck_ms": latency_figures(_grouped([(one.call, one.duck_s) for one in gave_way])),
        "selectivity": {
            name: number(metrics.selectivity(selected, type_).share) for type_, name in CLASS_NAMES.items()
        },
        "selectivity_detail": {
            **{name: proportion(metrics.selectivity(selected, type_)) for type_, name in CLASS_NAMES.items()},
            "headline": metrics.headline_selectivity(selected),
            "stumbles": sum(one.stumbled for one in selected),
        },
        "talk_over_s_per_minute": number(metrics.talk_over(calls), 2),
        "dead_air_per_call": number(metrics.dead_air_per_call(calls), 3),
        "average_penalty_s": number(metrics.average_penalty_s(gave_way, selected), 3),
        "events": event_counts(calls),
    }


def event_counts(calls: Sequence[CallEvidence]) -> dict[str, int]:
    """How many events of each kind were really sent."""
    return {str(type_): sum(len(call.of(type_)) for call in calls) for type_ in EventType}


def transport_figures(found: Punctuality) -> dict[str, Any]:
    return {
        "on_time": number(found.share, 6),
        "lateness_ms": {
            "p50": ms(percentile(found.lateness_s, 0.5)),
            "p99": ms(percentile(found.lateness_s, 0.99)),
            "p999": ms(percentile(found.lateness_s, 0.999)),
        },
        "underruns_per_hour": number(found.underruns_per_hour, 2),
    }


def _grouped(pairs: Sequence[tuple[str, float]]) -> dict[str, list[float]]:
    grouped: dict[str, list[float]] = {}
    for call, value in pairs:
        grouped.setdefault(call, []).append(value)
    return grouped
