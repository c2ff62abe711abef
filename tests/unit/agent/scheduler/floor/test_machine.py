from __future__ import annotations

from dataclasses import replace

import pytest

from agent.expectation import Expect, ExpectKind
from agent.scheduler.floor.complete import Completeness, completeness, spoken_digits
from agent.scheduler.floor.machine import AgentSide, FloorMachine, Verdict
from agent.scheduler.floor.profile import FloorProfile
from agent.scheduler.floor.table import FloorInput, FloorState

STEP = 160


def hear(
    floor: FloorMachine,
    ms: int,
    p_speech: float,
    *,
    p_take: float = 0.0,
    p_back: float = 0.0,
    us: AgentSide | None = None,
) -> Verdict | None:
    """Steps of 20 ms until an input follows, at most ``ms``."""
    for _ in range(ms // 20):
        found = floor.hear(STEP, p_speech, 0.0, p_take, p_back, Completeness.UNKNOWN, us or AgentSide())
        if found is not None:
            return found
    return None


def in_agent(**changes: float) -> FloorMachine:
    floor = FloorMachine(replace(FloorProfile(duck_after_ms=100, yield_after_ms=900), **changes))
    floor.apply(FloorInput.AGENT_STARTED)
    return floor


def test_scores_between_the_thresholds_keep_what_was() -> None:
    floor = FloorMachine(FloorProfile(duck_after_ms=100, yield_after_ms=900))
    assert hear(floor, 500, 0.45) is None
    hear(floor, 40, 0.6)
    assert hear(floor, 20, 0.4) is not None  # still speaking


def test_an_onset_lies_before_its_score_by_the_models_delay() -> None:
    floor = FloorMachine(FloorProfile(duck_after_ms=100, yield_after_ms=900), delay=320)
    hear(floor, 100, 0.0)
    hear(floor, 20, 1.0)
    assert floor.onset == 800 - 320


def test_an_overlap_that_the_ears_call_noise_never_ducks() -> None:
    floor = in_agent()
    assert hear(floor, 3000, 1.0, p_back=0.9) is None
    found = hear(floor, 1000, 1.0)  # they change their mind: a new overlap begins here
    assert found is not None
    assert found.cause is FloorInput.CALLER_STARTED
    assert floor.now <= (3000 + 160) * 8


def test_a_backchannel_verdict_ends_an_overlap_and_long_noise_does_not_come_back() -> None:
    floor = in_agent()
    assert hear(floor, 200, 1.0) is not None
    floor.apply(FloorInput.CALLER_STARTED)
    found = hear(floor, 20, 1.0, p_back=0.85)
    assert found is not None
    assert found.cause is FloorInput.BACKCHANNEL
    floor.apply(found.cause)
    assert hear(floor, 3000, 1.0, p_back=0.85) is None


def test_the_reason_tells_a_reader_why() -> None:
    floor = in_agent()
    hear(floor, 200, 1.0)
    floor.apply(FloorInput.CALLER_STARTED)
    found = hear(floor, 1000, 1.0)
    assert found == Verdict(FloorInput.FLOOR_TAKEN, "speech 900 ms")
    assert hear(in_agent(), 20, 1.0, p_take=0.93) == Verdict(FloorInput.FLOOR_TAKEN, "score 0.93")


def test_words_that_come_behind_a_short_overlap_still_take_the_floor_but_not_for_long() -> None:
    floor = in_agent()
    assert hear(floor, 200, 1.0) is not None
    floor.apply(FloorInput.CALLER_STARTED)
    found = hear(floor, 400, 0.0)
    assert found is not None
    assert found.cause is FloorInput.CALLER_STOPPED
    floor.apply(found.cause)
    assert hear(floor, 60, 0.0) is None
    late = hear(floor, 20, 0.0, p_take=1.0)
    assert late == Verdict(FloorInput.FLOOR_TAKEN, f"score 1.00, {floor.silence // 8} ms after the speech")
    assert hear(floor, 600, 0.0) is None
    assert hear(floor, 1000, 0.0, p_take=1.0) is None  # nobody knows any more what they meant


def test_words_of_a_turn_that_is_over_do_not_cut_the_answer_to_it() -> None:
    floor = in_agent()
    hear(floor, 200, 1.0)
    floor.apply(FloorInput.FLOOR_TAKEN)
    floor.open_turn(reopened=False)
    hear(floor, 100, 0.0)
    floor.apply(FloorInput.TURN_ENDED)
    floor.end_turn(may_reopen=True)
    floor.apply(FloorInput.AGENT_STARTED)
    assert hear(floor, 500, 0.0, p_take=1.0) is None


def test_an_early_interruption_of_what_may_not_be_cut_is_a_claim() -> None:
    found = hear(in_agent(), 20, 1.0, p_take=0.93, us=AgentSide(interruptible=False))
    assert found is not None
    assert found.cause is FloorInput.FLOOR_CLAIMED


def test_a_cut_that_is_never_confirmed_is_over_at_the_deadline() -> None:
    floor = in_agent()
    floor.apply(FloorInput.FLOOR_TAKEN)
    floor.open_turn(reopened=False)
    found = hear(floor, 400, 1.0, us=AgentSide(clear=False))
    assert found == Verdict(FloorInput.CLEARED, "deadline")
    assert floor.now == 200 * 8
    assert floor.state is FloorState.YIELDING


@pytest.mark.parametrize(
    ("words", "digits"),
    [
        ("one two three", "123"),
        ("it's double five oh", "550"),
        ("one two no one three", "13"),
        ("4 5 6", "456"),
        ("hello there", ""),
    ],
)
def test_digits_are_read_from_words(words: str, digits: str) -> None:
    assert spoken_digits(tuple(words.split())) == digits


def test_only_numbers_of_known_length_are_judged() -> None:
    three = Expect(kind=ExpectKind.DIGITS, digits=3)
    assert completeness(three, ("one", "two")) is Completeness.INCOMPLETE
    assert completeness(three, ("one", "two", "six")) is Completeness.COMPLETE
    assert completeness(three, ("one", "two", "six", "four")) is Completeness.UNKNOWN
    assert completeness(three, ("a", "person", "please")) is Completeness.UNKNOWN
    assert completeness(Expect(), ("one",)) is Completeness.UNKNOWN
