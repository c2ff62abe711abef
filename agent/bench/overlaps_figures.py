"""What the engine did with sounds over its voice: judged as calls on the wire are, and shown as one table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from agent.bench import metrics
from agent.bench.evidence import AgentChannel, CallEvidence, controls_of
from agent.bench.figures import CLASS_NAMES, latency_figures
from agent.bench.statistics import Proportion
from agent.simulator.truth import TruthEvent

HEAD: Final = (
    "| system | line | callers | yield in 2 s | in 0.6 s | yield p50 / p95 ms | duck p95 ms "
    "| backchannel | tic | side talk | noise | silent before |"
)


def evidence(event: TruthEvent, agent: AgentChannel, control: AgentChannel) -> CallEvidence:
    """One call: the agent with the sound, and ``control``, the same answer with nobody speaking."""
    undisturbed = CallEvidence(call="control", events=(replace(event, sent=False),), agent=control)
    return CallEvidence(call=event.call, events=(event,), agent=agent, controls=controls_of(undisturbed))


def overlap_figures(calls: Sequence[CallEvidence]) -> dict[str, Any]:
    """Yields and selectivity of calls with one event each, those in which the agent still spoke when it came."""
    spoken = [call for call in calls if call.agent.speaking_at(call.events[0].start)]
    gave_way, selected = metrics.yields(spoken), metrics.selections(spoken)
    within = {
        name: Proportion(sum(one.yield_s <= limit for one in gave_way), len(gave_way)).to_json()
        for name, limit in (("yr2", metrics.YIELD_LIMIT_S), ("yr06", metrics.FAST_YIELD_S))
    }
    return {
        "yield_ms": {**latency_figures({one.call: [one.yield_s] for one in gave_way}), **within},
        "duck_ms": latency_figures({one.call: [one.duck_s] for one in gave_way}),
        "selectivity": {name: metrics.selectivity(selected, kind).to_json() for kind, name in CLASS_NAMES.items()},
        "missed": _missed(spoken, gave_way, selected),
        "events": len(calls),
        "judged": len(gave_way) + len(selected),
        "silent_before": len(calls) - len(spoken),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """In Markdown: one line for each system, line and kind of callers."""
    return "\n".join([HEAD, "|---|" + "---|" * 11, *map(_row, rows)])


def _missed(
    spoken: Sequence[CallEvidence], gave_way: Sequence[metrics.Yielding], selected: Sequence[metrics.Selection]
) -> list[str]:
    """Interruptions that the agent talked over for two seconds, and sounds that it stopped for."""
    names = {one.call for one in gave_way if one.yield_s > metrics.YIELD_LIMIT_S}
    names |= {one.call for one in selected if not one.correct}
    return [f"{call.call}: {call.events[0].text}" for call in spoken if call.call in names]


def _row(row: Mapping[str, Any]) -> str:
    given = row["yield_ms"]
    cells = [
        row["system"],
        row["line"],
        row["callers"],
        _share(given["yr2"]),
        _share(given["yr06"]),
        f"{_plain(given['p50'])} / {_plain(given['p95'])}",
        _plain(row["duck_ms"]["p95"]),
        *(_share(row["selectivity"][name]) for name in CLASS_NAMES.values()),
        str(row["silent_before"]),
    ]
    return "| " + " | ".join(cells) + " |"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _share(found: Mapping[str, Any]) -> str:
    if not found["n"]:
        return "–"
    low, high = found["interval"]
    return f"{found['share']:.3f} [{low:.2f}–{high:.2f}] of {found['n']}"
