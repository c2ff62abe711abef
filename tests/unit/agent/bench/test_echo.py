"""Our echo: what the floor did for it is counted from the timeline, nothing else is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from agent.bench.echo import EchoCall, echo_call, echo_figures, echo_script, level_against
from agent.bench.statistics import Rate
from agent.simulator.script import Echo, Keys, Sound


def floor(before: str, after: str) -> dict[str, Any]:
    return {"kind": "floor", "data": {"before": before, "after": after}}


def utterance(number: int, unheard: str = "") -> list[dict[str, Any]]:
    return [
        {"kind": "utterance", "data": {"phase": "started", "number": number, "text": "all of it"}},
        {"kind": "utterance", "data": {"phase": "ended", "number": number, "unheard": unheard}},
    ]


TIMELINE = [
    *utterance(1),
    floor("open", "agent"),
    floor("agent", "overlap"),
    floor("overlap", "overlap"),
    floor("overlap", "agent"),
    floor("agent", "overlap"),
    floor("overlap", "yielding"),
    {"kind": "turn", "data": {"phase": "started"}},
    {"kind": "turn", "data": {"phase": "ended"}},
    *utterance(2, unheard="of it"),
    {"kind": "dtmf", "data": {"digit": "4"}},
]


def test_ducks_and_yields_are_counted_apart() -> None:
    found = echo_call(TIMELINE, 30.0, -20.0)
    assert found == EchoCall(spoken_s=30.0, back_db=-20.0, ducks=2, yields=1, turns=1, utterances=2, cut=1)


def test_a_call_without_trouble_counts_nothing() -> None:
    assert echo_call([*utterance(1), floor("open", "agent"), floor("agent", "open")], 10.0, -20.0).ducks == 0


def test_rates_are_per_minute_of_our_speech() -> None:
    figures = echo_figures([echo_call(TIMELINE, 30.0, -20.0), echo_call(TIMELINE, 90.0, -21.0)])
    assert figures["spoken_minutes"] == 2.0
    assert figures["came_back_db"] == -20.5
    assert figures["self_interruptions"]["per_minute"] == 1.0
    assert figures["ducks"]["per_minute"] == 2.0
    assert figures["cut_utterances"]["share"] == 0.5


def test_without_calls_nothing_is_claimed() -> None:
    figures = echo_figures([])
    assert figures["self_interruptions"]["per_minute"] is None
    assert figures["self_interruptions"]["interval"] == (0.0, None)


@pytest.mark.parametrize(("events", "low", "high"), [(0, 0.0, 3.69), (1, 0.025, 5.57), (10, 4.80, 18.39)])
def test_the_interval_of_a_rate_is_poissons(events: int, low: float, high: float) -> None:
    """Against the exact interval (Garwood 1936), which Byar's approximation meets within 3 %."""
    found = Rate(events, 1.0).interval
    assert found[0] == pytest.approx(low, abs=0.02)
    assert found[1] == pytest.approx(high, rel=0.03)
    assert math.isnan(Rate(0, 0.0).per_minute)


def test_the_caller_makes_no_sound() -> None:
    steps = echo_script(0, level_db=-20.0, delay_ms=150).steps
    assert not [step for step in steps if isinstance(step, Sound)]
    assert [step for step in steps if isinstance(step, Keys)]
    assert isinstance(steps[0], Echo)


def test_the_level_of_what_came_back_is_measured() -> None:
    sent = np.random.default_rng(1).normal(0, 3000, 8000).astype(np.int16)
    assert level_against((sent / 10).astype(np.int16), sent) == pytest.approx(-20.0, abs=0.1)
    assert level_against(np.zeros(8000, np.int16), sent) < -100.0
