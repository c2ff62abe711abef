from __future__ import annotations

from itertools import pairwise

import pytest

from agent.scheduler.admission import THRESHOLDS, Admission, Degradation, StepCosts, percentile


def test_costs_are_linear_between_and_beyond_the_measured_sizes() -> None:
    costs = StepCosts({1: 1.0, 9: 5.0, 17: 7.0})
    assert [costs.at(n) for n in (1, 5, 9, 13, 17, 25)] == pytest.approx([1, 3, 5, 6, 7, 9])


def test_rows_are_what_fits_the_budget_in_all_phases_together() -> None:
    costs = StepCosts({1: 1.0, 11: 2.0})  # 0.9 ms and 0.1 ms a row
    assert costs.rows_within(12.0, phases=4, limit=256) == 4 * 21
    assert costs.rows_within(12.0, phases=1, limit=256) == 111
    assert costs.rows_within(12.0, phases=4, limit=30) == 30
    assert costs.rows_within(0.5, phases=4, limit=30) == 0


def test_a_full_or_draining_worker_refuses() -> None:
    admission = Admission(offered=2, step_ms=20)
    assert admission.refusal(1) is None
    assert admission.refusal(2) == "pool_full"
    admission.draining = True
    assert admission.refusal(0) == "draining"


def test_the_ladder_goes_up_one_step_at_a_time_and_comes_back() -> None:
    admission = Admission(offered=50, step_ms=20)
    levels = []
    for second in range(40):
        busy = 0.0195 if second < 20 else 0.002
        admission.observe([busy] * 50, seats=10, now=float(second))
        levels.append(admission.level)
    assert max(levels) is Degradation.NO_NEW_CALLS
    assert all(abs(a - b) <= 1 for a, b in pairwise(levels))
    assert levels[-1] is Degradation.NORMAL
    assert admission.offered == 50


def test_every_level_gives_something_up() -> None:
    assert set(Degradation) - {Degradation.NORMAL} == set(THRESHOLDS)
    admission = Admission(offered=50, step_ms=20)
    refusals = []
    for admission.level in Degradation:
        refusals.append(admission.refusal(1))
    assert refusals == [None, None, "pool_full"]  # 1 stops preparation: test_tick


def test_running_calls_that_fill_the_budget_keep_new_ones_out() -> None:
    admission = Admission(offered=50, step_ms=20, budget=0.6)
    for second in range(12):
        admission.observe([0.013] * 50, seats=20, now=float(second))
    assert admission.offered == 20
    assert admission.refusal(20) == "pool_full"


def test_percentiles_of_nothing_are_zero() -> None:
    assert percentile([], 0.99) == 0.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
