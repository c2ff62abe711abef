"""How far a training is, by steps and by the clock."""

from __future__ import annotations

from agent.training.course import Course


def test_by_steps() -> None:
    course = Course(steps=8, began=5.0)
    assert [course.done(step, now=99.0) for step in (0, 2, 8, 9)] == [0, 0.25, 1, 1]
    assert Course().done(1, now=0.0) == 1


def test_by_the_clock_a_run_that_goes_on_has_not_begun_anew() -> None:
    course = Course(until=300.0, began=100.0)
    assert [course.done(step=7, now=now) for now in (90.0, 100.0, 150.0, 300.0, 400.0)] == [0, 0, 0.25, 1, 1]
    assert Course(until=50.0, began=100.0).done(0, now=101.0) == 1
