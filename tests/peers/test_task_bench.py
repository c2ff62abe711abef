"""One caller of the task bench against a whole service: heard by the event stream, judged by the books."""

from __future__ import annotations

import pytest

from agent.app import start_service
from agent.bench.task import TaskOptions, run_tasks
from agent.bench.task_goals import Kind, draw_goals
from agent.brain.examples import example_path
from agent.brain.flow.load import load_dialogue

pytestmark = [pytest.mark.peer, pytest.mark.slow]


def seed_of(kind: Kind) -> int:
    """A seed whose first caller wants ``kind``."""
    spec = load_dialogue(example_path("parcel") / "parcel.yaml")
    return next(seed for seed in range(1000) if draw_goals(spec, 1, seed)[0].kind is kind)


async def test_a_caller_hears_what_is_asked_and_says_what_they_want() -> None:
    """Whether the words are understood is the bench's business: a busy machine must not decide this test."""
    voices = ("flite:rms", "pico:en-GB", "pico:en-US")
    options = TaskOptions(calls=1, at_once=1, seed=seed_of(Kind.PERSON), voices=voices)
    figures = await run_tasks(options, start_service=start_service)
    (call,) = figures["each"]
    assert call["goal"] == Kind.PERSON
    assert call["said"]
    assert call["seconds"] > 5.0
    assert figures["success"]["n"] == 1
    assert call["reached"] == (not call["why"])
