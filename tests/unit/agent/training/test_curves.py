"""From scores to calls: turns cut, ends seen, events fired."""

from __future__ import annotations

import numpy as np

from agent.training.curves import (
    BACKSTOP_MS,
    EventScores,
    TurnScores,
    auc,
    best,
    call,
    curve,
    fired,
    lasts,
    point,
    timer,
)


def turn(end: list[float], last: int, pauses: tuple[int, ...] = ()) -> TurnScores:
    return TurnScores(np.array(end, np.float32), np.zeros(len(end), np.float32), last, "free", pauses)


def test_an_end_is_called_after_as_many_frames_as_agree() -> None:
    found = call(turn([0, 0, 0, 0, 0.9, 0.9, 0.9, 0.9], last=4), 0.7, 3)
    assert (found.early, found.missed) == (False, False)
    assert found.delay_ms == 120


def test_a_call_inside_the_turn_is_early_and_the_end_may_still_be_called() -> None:
    found = call(turn([0, 0.9, 0.9, 0, 0, 0.9, 0.9], last=4), 0.7, 2)
    assert found.early
    assert found.delay_ms == 120


def test_speech_is_no_end_whatever_the_head_says() -> None:
    both = TurnScores(np.ones(6, np.float32), np.ones(6, np.float32), 4, "free", ())
    assert call(both, 0.5, 2).missed
    assert call(both, 0.5, 2).delay_ms == BACKSTOP_MS


def test_a_point_and_the_best_of_a_curve() -> None:
    turns = [
        turn([0, 0, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8], last=2),
        turn([0, 0.6, 0.6, 0, 0.9, 0.9, 0.9, 0.9], last=4, pauses=(14,)),
    ]
    cut = point(turns, 0.5, 2)
    assert cut.early == 0.5
    found = best(curve(turns), 0.05)
    assert found is not None
    assert found.early == 0
    assert found.threshold > 0.6
    assert timer(turns, 500) == 0.5
    assert timer(turns, 600) == 0
    assert best([cut], 0.05) is None


def test_events_fire_on_scores_or_on_duration() -> None:
    event = EventScores(np.array([0, 0.2, 0.9, 0.9, 0.1]), np.array([1, 1, 0, 1, 1]), "takes")
    assert fired(event, 0.8) == 160
    assert fired(event, 0.95) is None
    assert lasts(event, 160) == 160
    assert lasts(event, 400) is None


def test_auc_is_the_chance_to_be_above() -> None:
    assert auc([2, 3], [0, 1]) == 1
    assert auc([0], [1]) == 0
    assert auc([1], [1]) == 0.5
    assert auc([], [1]) == 0.5
