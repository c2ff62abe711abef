"""Rules are chosen within what they may cut, and judged on other turns; ways to give way are told apart."""

from __future__ import annotations

import numpy as np

from agent.training.choose import (
    ANSWERS,
    Rule,
    applied,
    duration,
    either,
    grouped,
    head,
    rules,
    single,
    threshold_at,
    told,
)
from agent.training.curves import EventScores, TurnScores
from agent.training.text.answer import State

QUIET = np.zeros(40, np.float32)


def turn(state: str, pause: float, end: float) -> TurnScores:
    """8 frames of speech, a pause of 8 scored ``pause``, 4 of speech, then the end scored ``end``."""
    scores = np.concatenate((np.zeros(8), np.full(8, pause), np.zeros(4), np.full(20, end))).astype(np.float32)
    return TurnScores(scores, QUIET, 20, state, (8,))


def event(kind: str, takes: list[float], spoken: list[float], leaves: float = 0.0) -> EventScores:
    shares = np.full(len(takes), leaves, np.float32)
    return EventScores(np.array(takes, np.float32), np.array(spoken, np.float32), kind, shares)


def test_every_state_of_the_simulator_has_a_kind_of_answer() -> None:
    assert {state.value for state in State} == {*ANSWERS}


def test_each_kind_gets_the_patience_that_it_needs() -> None:
    turns = [turn("yes_no", 0.1, 0.6) for _ in range(20)] + [turn("digits", 0.6, 0.7) for _ in range(20)]
    chosen = rules(turns, 0.05)
    assert applied(turns, chosen)["early"] <= 0.05
    assert chosen["yes_no"].agreement_ms == 80
    assert chosen["digits"] == Rule(threshold=0.7, agreement_ms=80) or chosen["digits"].agreement_ms > 320
    one = single(turns, 0.05)
    alike = applied(turns, dict.fromkeys(chosen, one))
    assert applied(turns, chosen)["mean_ms"] <= alike["mean_ms"]
    assert {*grouped(turns)} == {"yes_no", "digits"}


def test_where_nothing_is_patient_enough_the_most_patient_rules_are_given() -> None:
    turns = [turn("free", 0.99, 0.2)] * 4
    assert rules(turns, 0.0)["open"].threshold >= 0.15
    assert applied([], {}) == {"turns": 0}


def test_who_makes_us_give_way() -> None:
    events = [
        event("takes", [0, 0.9, 0.9, 0.9], [1, 1, 1, 1]),
        event("side", [0, 0, 0, 0], [1, 1, 1, 1], leaves=0.8),
        event("backchannel", [0, 0.5, 0.5, 0], [1, 0, 0, 0]),
    ]
    assert told(events, duration(120)) == {
        "takes": 1.0, "side": 1.0, "backchannel": 0.0, "takes_p50_ms": 120.0, "takes_in_600_ms": 1.0,
    }  # fmt: skip
    assert told(events, duration(120, veto=0.7))["side"] == 0
    assert told(events, either(head(0.8), duration(160)))["takes_p50_ms"] == 120
    level = threshold_at(events, "backchannel", 0.0)
    assert told(events, head(level))["backchannel"] == 0
    assert told(events, head(level))["takes"] == 1
