"""What a worker counts reaches the log, once."""

from __future__ import annotations

from typing import Any

from agent.pool.messages import WorkerStats
from agent.pool.watch import WorkerWatch
from tests.unit.agent.call_fakes import KeptLog


def stats(**changed: Any) -> WorkerStats:
    quiet: dict[str, Any] = {
        "seats": 0, "rows": 8, "step_p50_ms": 1.0, "step_p99_ms": 2.0, "late_rows": 0, "concealed_rows": 0,
        "overruns": 0, "degradation": 0, "cpu_s": 1.0, "recognisers_wanted": 2, "recognisers_live": 2,
    }  # fmt: skip
    return WorkerStats(**(quiet | changed))


def test_lost_recogniser_is_an_error_once_and_its_return_is_told() -> None:
    watch = WorkerWatch("worker1", log := KeptLog())
    for seen in (
        stats(),
        stats(recognisers_live=1, recogniser_given_up=1),
        stats(recognisers_live=1, recogniser_given_up=1),
        stats(recogniser_restarts=1, recogniser_given_up=1),
        stats(recogniser_restarts=1, recogniser_given_up=1),
    ):
        watch.see(seen)
    assert log.lines == [
        ("error", "ears.lost", {"live": 1, "wanted": 2}),
        ("warning", "ears.restarted", {"new": 1, "given_up": 1}),
        ("info", "ears.back", {"live": 2}),
    ]


def test_slow_steps_and_failed_rows_are_told_by_how_many_are_new() -> None:
    watch = WorkerWatch("worker1", log := KeptLog())
    for seen in (stats(overruns=3), stats(overruns=3), stats(overruns=5, failed_rows=1, last_error="KeyError")):
        watch.see(seen)
    assert [(event, fields["new"]) for _, event, fields in log.lines] == [
        ("worker.overrun", 3),
        ("worker.overrun", 2),
        ("worker.row_failed", 1),
    ]
    assert log.lines[-1][2]["error"] == "KeyError"


def test_ears_that_judge_now_are_told_when_they_change() -> None:
    watch = WorkerWatch("worker1", log := KeptLog())
    for seen in (stats(), stats(fallback="too slow"), stats(fallback="too slow"), stats()):
        watch.see(seen)
    assert log.lines == [
        ("warning", "ears.changed", {"model": "parts", "why": "too slow"}),
        ("warning", "ears.changed", {"model": "small", "why": ""}),
    ]
