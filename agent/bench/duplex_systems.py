"""The systems that the duplex bench compares, and what each would have ended on the same recorded callers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from agent.bench import smart_turn
from agent.bench.baselines import HeardCall, overlap_figures, timer_ends
from agent.bench.decisions import Judged, Trace, turn_figures
from agent.bench.duplex_callers import callers
from agent.bench.duplex_people import Person, people
from agent.bench.duplex_replay import SCORES, replay
from agent.bench.duplex_table import equal_takeover
from agent.bench.inline_recogniser import InlineRecogniser
from agent.bench.metrics import AFTER_OVERLAP_S
from agent.brain.examples import example_path
from agent.brain.flow.flow import build_flow, expectation
from agent.brain.flow.load import load_dialogue
from agent.brain.flow.state import State
from agent.errors import AgentError
from agent.expectation import Expect
from agent.model.baseline import fallback_of
from agent.model.parts.ears import Ears
from agent.model.parts.engine import open_engine
from agent.model.parts.recogniser import NoRecogniser, Recogniser
from agent.model.small.ears import build as build_small
from agent.simulator.truth import TruthEvent

SYSTEMS: Final = ("small", "parts", "timer", "pipecat")
LIVE: Final = ("small", "parts")
"""Those that answer calls; the others are asked what they would have done on the same audio."""
TIMERS_S: Final = (0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0)
ROWS: Final = 8
"""Calls replayed at once with words: as many utterances as a recogniser takes."""
MENU: Final = "menu"
"""What the shipped dialogue waits for while these callers speak."""

RECOGNISERS: Final = {"phrases": "both", "sentences": "both", "people": "words"}
"""What hears each set: PocketSphinx understands no people, and would take an hour to say so."""

Curve = list[dict[str, Any]]


def live_of(systems: Sequence[str]) -> list[str]:
    """Which of ``systems`` answer calls; the baseline where none does: somebody has to."""
    return [name for name in LIVE if name in systems] or ["parts"]


def curve_sets(
    systems: Sequence[str], voices: Sequence[str], speech: Path | None, *, weights: str = "", seed: int
) -> dict[str, dict[str, Any]]:
    """Latency against pause takeover of every system on callers that were rendered, and on recorded people.

    The ears hear them with words and without. Raises ``AgentError``.
    """
    sets = {
        "phrases": callers(voices, menu(), seed=seed, known=True),
        "sentences": callers(voices, menu(), seed=seed, known=False),
        "people": people(speech, seed=seed) if speech is not None else [],
    }
    found: dict[str, dict[str, Any]] = {}
    for name, said in sets.items():
        if said:
            drawn = rendered_curves(said, systems, weights=weights, recogniser=RECOGNISERS[name])
            found[name] = {"turns": len(said), "curves": drawn, "equal_takeover": equal_takeover(drawn)}
    return found


def without_words(
    calls: Sequence[HeardCall], waits: Sequence[Expect], systems: Sequence[str], *, weights: str = ""
) -> dict[str, Curve]:
    """The same of ears whose recogniser understands nothing; and of timers."""
    found = {f"{name}, no words": _curve(name, calls, waits, weights, "") for name in LIVE if name in systems and calls}
    if "timer" in systems:
        found["timer"] = [
            {"setting": f"{timer_s:g} s", **turn_figures([Judged(one.call, timer_ends(one, timer_s)) for one in calls])}
            for timer_s in TIMERS_S
        ]
    return found


def rendered_curves(
    people: Sequence[Person], systems: Sequence[str], *, weights: str = "", recogniser: str = ""
) -> dict[str, Curve]:
    """People or rendered callers before all systems; ``recogniser``: the ears' own, if any. Raises ``AgentError``."""
    calls, waits = [one.heard for one in people], [one.expect for one in people]
    found: dict[str, Curve] = {}
    if recogniser:
        found = {name: _curve(name, calls, waits, weights, recogniser) for name in LIVE if name in systems}
    found |= without_words(calls, waits, systems, weights=weights)
    if "pipecat" in systems and calls and not smart_turn.why_not():
        found["pipecat"] = pipecat_figures(calls)["curve"]
    return found


def _curve(name: str, calls: Sequence[HeardCall], waits: Sequence[Expect], weights: str, recogniser: str) -> Curve:
    traces: list[Trace] = []
    engine = open_engine(recogniser, "") if recogniser else None
    at_once = ROWS if engine is not None else len(calls)
    for first in range(0, len(calls), at_once):
        rows = slice(first, first + at_once)
        hears = InlineRecogniser(engine) if engine is not None else NoRecogniser()
        ears = ears_of(name, len(calls[rows]), hears, weights)
        traces += replay(calls[rows], ears, waits[rows])
    heard = [one.call for one in calls]
    return [
        {
            "setting": f"{score:g}",
            **turn_figures([Judged(call, trace.ends(score)) for call, trace in zip(heard, traces, strict=True)]),
        }
        for score in SCORES
    ]


def ears_of(name: str, rows: int, recogniser: Recogniser, weights: str) -> Ears:
    """``small`` or ``parts`` with a recogniser of ours. Raises ``AgentError`` where others would stand in."""
    if name == "parts":
        return Ears(rows, recogniser)
    ears = build_small(rows, recogniser=lambda: recogniser, weights=weights)
    if why := fallback_of(ears):
        raise AgentError(f"{name} cannot be asked here: {why}")
    return ears


def menu() -> Expect:
    """What the shipped dialogue's menu waits for."""
    flow = build_flow(load_dialogue(example_path("parcel") / "parcel.yaml"))
    return expectation(flow, State(at=MENU))


def pipecat_figures(calls: Sequence[HeardCall]) -> dict[str, Any]:
    """Pipecat's turn taking on the same audio: its curve, and what it yields to. Raises ``AgentError``."""
    if why := smart_turn.why_not():
        return {"how": "missing", "why": why, "curve": []}
    heard = smart_turn.hear({one.call.call: one.caller for one in calls})
    curve = [
        {
            "setting": f"{threshold:g}",
            **turn_figures([Judged(one.call, heard[one.call.call].ends(threshold)) for one in calls]),
        }
        for threshold in smart_turn.THRESHOLDS
    ]
    served = next(point for point in curve if point["setting"] == "0.5")
    return {"how": "offline", **served, **overlap_figures(calls, _stop_of(heard)), "curve": curve}


def _stop_of(heard: Mapping[str, smart_turn.Heard]) -> Callable[[HeardCall, TruthEvent], float | None]:
    """Pipecat stops its voice when voice activity has begun."""

    def stop_at(call: HeardCall, event: TruthEvent) -> float | None:
        starts = heard[call.call.call].starts
        return next((at for at in starts if event.start < at <= event.end + AFTER_OVERLAP_S), None)

    return stop_at


def write_picture(path: Path, svg: str) -> None:
    """Raises ``AgentError``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(svg, encoding="utf-8")
    except OSError as wrong:
        raise AgentError(f"{path}: cannot be written: {wrong.strerror}") from None
