from __future__ import annotations

import math

import pytest

from agent.bench.statistics import MISS, bootstrap, ms, percentile, share_within, wilson


def test_percentiles_are_nearest_rank() -> None:
    assert percentile([4, 1, 3, 2], 0.5) == 2
    assert percentile(list(range(1, 101)), 0.95) == 95
    assert math.isnan(percentile([], 0.5))


def test_misses_push_the_tail_to_infinity_and_leave_the_median() -> None:
    values = [0.4] * 9 + [MISS]
    assert percentile(values, 0.5) == 0.4
    assert percentile(values, 0.95) == MISS
    assert ms(percentile(values, 0.95)) is None
    assert share_within(values, 0.4) == 0.9


def test_wilson_interval_of_a_share_near_the_edge_stays_inside() -> None:
    low, high = wilson(30, 30)
    assert high == 1.0
    assert low == pytest.approx(0.8865, abs=0.0005)  # Wilson 1927, z = 1.96
    assert wilson(0, 0) == (0.0, 1.0)


def test_wilson_at_two_hundred_events_near_nine_tenths_is_four_points_wide() -> None:
    low, high = wilson(180, 200)
    assert 0.03 < (high - low) / 2 < 0.05


def test_bootstrap_keeps_events_of_a_call_together_and_repeats_itself() -> None:
    calls = {"a": [1.0] * 50, "b": [2.0] * 50}
    low, high = bootstrap(calls, lambda values: sum(values) / len(values), resamples=200)
    assert (low, high) == (1.0, 2.0)  # a call's fifty equal events are one draw, not fifty
    assert bootstrap(calls, sum, resamples=50) == bootstrap(calls, sum, resamples=50)
