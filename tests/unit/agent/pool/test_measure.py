"""Neighbours come and go while a worker measures its steps: the model's own cost is what counts."""

from __future__ import annotations

import time

from agent.model.fakes import Echo
from agent.model.protocol import StepInput, StepOutput
from agent.pool.measure import STEPS, WINDOWS, measure_steps

BUSY_S = 0.002


class Disturbed(Echo):
    """Its steps cost much more in one window than in the others, as when a neighbour takes the caches."""

    def __init__(self, window: int) -> None:
        super().__init__(1)
        self._steps = 0
        self._window = window

    def step(self, inputs: StepInput) -> StepOutput:
        self._steps += 1
        if (self._steps - 1) // STEPS == self._window:
            until = time.thread_time() + BUSY_S
            while time.thread_time() < until:
                pass
        return super().step(inputs)


def test_a_window_that_neighbours_disturbed_does_not_count_and_is_told() -> None:
    for window in range(WINDOWS):
        costs = measure_steps(Disturbed(window), rows=1, phases=1)
        assert costs.p99_ms[1] < 1000 * BUSY_S <= costs.worst_ms[1]


def test_what_every_window_costs_counts() -> None:
    class Always(Disturbed):
        def step(self, inputs: StepInput) -> StepOutput:
            self._window = (self._steps) // STEPS
            return super().step(inputs)

    costs = measure_steps(Always(0), rows=1, phases=1)
    assert costs.p99_ms[1] >= 1000 * BUSY_S


def test_a_step_that_is_dear_by_the_models_own_doing_counts_in_spite_of_the_others() -> None:
    class Rarely(Disturbed):
        def step(self, inputs: StepInput) -> StepOutput:
            is_dear = self._steps % STEPS == STEPS // 2
            self._window = self._steps // STEPS if is_dear else -1
            return super().step(inputs)

    assert measure_steps(Rarely(0), rows=1, phases=1).p99_ms[1] >= 1000 * BUSY_S
