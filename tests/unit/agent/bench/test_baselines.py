from __future__ import annotations

import pytest

from agent.bench.baselines import HeardCall, stop_figures, timer_figures
from agent.simulator.truth import EventType
from tests.unit.agent.bench.synthetic import call, event, spoken, turn


def paused() -> HeardCall:
    """A turn from 1 to 4 s with a pause of 0.8 s in it."""
    said = call(spoken(), turn(1.0, 4.0), event(EventType.HOLD, 2.0, 2.8))
    return HeardCall(said, spoken((1.0, 2.0), (2.8, 4.0)))


@pytest.mark.parametrize(("timer_s", "taken"), [(0.3, 1.0), (0.79, 1.0), (0.81, 0.0), (1.0, 0.0)])
def test_a_timer_takes_every_pause_that_is_longer(timer_s: float, taken: float) -> None:
    assert timer_figures([paused()], timer_s)["pause_takeover"] == taken


def test_a_timer_answers_its_length_after_the_turn() -> None:
    figures = timer_figures([paused()], 1.0)
    assert figures["response_ms"]["p50"] == pytest.approx(1000, abs=1)
    assert figures["response_ms"]["n"] == 1


def test_a_turn_that_the_timer_cut_has_no_latency() -> None:
    assert timer_figures([paused()], 0.5)["response_ms"]["n"] == 0


def test_stopping_for_any_sound_yields_fast_and_is_never_selective() -> None:
    interrupt, cough = event(EventType.INTERRUPT, 3.0, 4.0), event(EventType.TIC, 6.0, 6.4)
    heard = HeardCall(call(spoken((1.0, 12.0)), interrupt, cough, left=5.0), spoken((3.0, 4.0), (6.0, 6.4)))
    figures = stop_figures([heard])
    assert figures["yield_ms"]["p50"] == pytest.approx(200, abs=1)
    assert figures["selectivity"] == {"tic": 0.0}


def test_a_click_is_too_short_even_for_it() -> None:
    click = event(EventType.TIC, 6.0, 6.1)
    heard = HeardCall(call(spoken((1.0, 12.0)), click, left=5.0), spoken((6.0, 6.1)))
    assert stop_figures([heard])["selectivity"] == {"tic": 1.0}
