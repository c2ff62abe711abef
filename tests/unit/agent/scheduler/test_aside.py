"""Backchannels of ours: words in a pause of the caller's turn."""

from __future__ import annotations

import numpy as np

from agent.pool.messages import (
    BeginUtterance,
    DropUtterance,
    FloorMoved,
    TurnEnded,
    UtteranceAudio,
    UtteranceEnded,
    UtteranceStarted,
)
from tests.unit.agent.scheduler.engine import SILENCE, SPEECH, Engine


def aside(engine: Engine, number: int, *, last: bool = True) -> None:
    """A word of 200 ms."""
    engine.send(BeginUtterance(call_id="a", utterance=number, interruptible=True, aside=True))
    pcm = np.full(1600, 10000, "<i2").tobytes()
    engine.send(UtteranceAudio(call_id="a", utterance=number, words=[["mm", 0, 1600, 0]], last=last, pcm=pcm))


def pausing() -> Engine:
    """The caller has spoken for a second and is silent since 120 ms."""
    engine = Engine()
    engine.open()
    engine.run(1000, SPEECH)
    engine.run(120)
    return engine


def ends(engine: Engine) -> list[tuple[int, str, bool]]:
    return [(e.utterance, e.reason, e.complete) for e in engine.all(UtteranceEnded)]


def test_word_aside_is_said_in_the_pause_and_moves_no_floor() -> None:
    engine = pausing()
    aside(engine, 1)
    moves = len(engine.all(FloorMoved))
    assert engine.until(UtteranceStarted, SILENCE) == 60  # at 160 ms of silence, and a tick to be played
    engine.run(160, SPEECH)
    engine.run(60, SPEECH)
    assert ends(engine) == [(1, "played", True)]
    assert len(engine.all(FloorMoved)) == moves
    assert engine.all(TurnEnded) == []


def test_word_aside_that_comes_when_the_caller_speaks_again_is_dropped() -> None:
    engine = pausing()
    engine.run(80, SPEECH)
    aside(engine, 1)
    engine.run(40, SPEECH)
    assert ends(engine) == [(1, "dropped", False)]


def test_word_aside_whose_audio_is_not_whole_waits_and_the_end_of_the_turn_drops_it() -> None:
    engine = pausing()
    aside(engine, 1, last=False)
    engine.until(TurnEnded, SILENCE)
    engine.run(40)
    assert ends(engine) == [(1, "dropped", False)]
    assert engine.all(UtteranceStarted) == []


def test_answer_that_is_due_waits_for_the_word_that_sounds() -> None:
    engine = pausing()
    aside(engine, 1)
    engine.until(UtteranceStarted, SILENCE)
    engine.until(TurnEnded, SILENCE)
    engine.say(2, words=1)
    engine.run(600)
    assert ends(engine) == [(1, "played", True), (2, "played", True)]


def test_one_word_at_a_time_and_the_latest_that_waits() -> None:
    engine = pausing()
    aside(engine, 1)
    aside(engine, 2)
    engine.until(UtteranceStarted, SILENCE)
    aside(engine, 3)
    engine.send(DropUtterance(call_id="a", utterance=2))
    engine.run(300, SPEECH)
    assert ends(engine) == [(1, "dropped", False), (3, "dropped", False), (2, "played", True)]


def test_word_aside_whose_playing_nobody_confirms_is_given_up() -> None:
    engine = pausing()
    aside(engine, 1)
    for _ in range(60):
        engine.step({"a": SILENCE}, play=False)
    assert [number for number, _, _ in ends(engine)] == [1]
