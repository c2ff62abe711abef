"""The brain takes the floor from a caller who speaks: only from the turn and the words that it meant."""

from __future__ import annotations

from agent.pool.messages import FloorMoved, InterruptTurn, TurnEnded, TurnStarted, TurnWords
from tests.unit.agent.scheduler.engine import SILENCE, SPEECH, Engine
from tests.unit.agent.scheduler.test_tick import WordyEars


def speaking(*words: str) -> tuple[Engine, WordyEars]:
    """The caller has spoken for 600 ms, and the ears have told ``words``."""
    ears = WordyEars(4)
    engine = Engine(ears)
    engine.open()
    engine.run(600, SPEECH)
    ears.say(*words)
    engine.run(20, SPEECH)
    return engine, ears


def interrupt(engine: Engine, *, turn: int = 1, revision: int = 1, after_ms: int = 0) -> None:
    at = 8 * (20 * engine.tick + after_ms)
    engine.send(InterruptTurn(call_id="a", turn=turn, revision=revision, at=at, reason="too_many_digits"))


def endings(engine: Engine) -> list[tuple[int, str]]:
    return [(e.turn, e.reason) for e in engine.all(TurnEnded)]


def test_turn_that_goes_on_with_these_words_ends_when_they_have_stood_long_enough() -> None:
    engine, _ = speaking("nine")
    interrupt(engine, after_ms=200)
    engine.run(180, SPEECH)
    assert endings(engine) == []
    engine.run(40, SPEECH)
    assert endings(engine) == [(1, "interrupted")]
    assert engine.all(TurnEnded)[0].words == ("nine",)
    assert engine.all(FloorMoved)[-1].cause == "agent_interrupts"


def test_words_that_have_changed_are_not_interrupted() -> None:
    engine, ears = speaking("nine")
    interrupt(engine, after_ms=100)
    ears.say("nineteen")
    engine.run(600, SPEECH)
    assert endings(engine) == []


def test_order_for_a_turn_that_is_over_is_ignored() -> None:
    engine, _ = speaking("nine")
    engine.until(TurnEnded, SILENCE)
    interrupt(engine)
    engine.run(1000)
    engine.run(600, SPEECH)
    assert endings(engine) == [(1, "score")]


def test_caller_who_pauses_is_not_interrupted_until_they_go_on() -> None:
    engine, _ = speaking("nine")
    engine.run(140)
    interrupt(engine)
    engine.run(40)
    assert endings(engine) == []
    engine.run(100, SPEECH)
    assert endings(engine) == [(1, "interrupted")]


def test_what_runs_on_opens_no_turn_until_a_pause_and_its_words_are_nobodys() -> None:
    engine, ears = speaking("nine")
    interrupt(engine)
    engine.run(400, SPEECH)
    ears.say("nine", "four")
    engine.run(200, SPEECH)
    engine.run(580)
    engine.run(200, SPEECH)  # 600 ms have not passed: it still runs on
    engine.run(640)
    ears.say("nine", "four", final=True)  # late
    engine.run(20)
    assert len(engine.all(TurnStarted)) == 1
    engine.until(TurnStarted, SPEECH)
    ears.say("nine", "four", "one", "two")
    engine.run(100, SPEECH)
    assert engine.all(TurnWords)[-1].words == ("one", "two")
    engine.until(TurnEnded, SILENCE)
    assert engine.all(TurnEnded)[-1].words == ("one", "two")
