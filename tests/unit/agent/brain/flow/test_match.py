from __future__ import annotations

import pytest

from agent.brain.examples import example_path
from agent.brain.flow.flow import build_flow
from agent.brain.flow.load import load_dialogue
from agent.brain.flow.match import Matcher, one_letter_off, stem
from agent.brain.flow.patterns import parse_pattern
from agent.brain.flow.words import normalise

MENU = build_flow(load_dialogue(example_path("parcel") / "parcel.yaml")).matchers["menu"]


def intent_of(said: str) -> str | None:
    found = MENU.best(normalise(said.split()))
    return found.intent if found else None


@pytest.mark.parametrize(
    ("said", "intent"),
    [
        ("where is my parcel", "track"),
        ("um hello yes I'd like to know where my parcel is please", "track"),
        ("my package hasn't arrived", "track"),
        ("where's my order", "track"),
        ("can you track a pacel for me", "track"),
        ("I won't be home on that day", "change"),
        ("could I change the delivery date please", "change"),
        ("I want to complain", "complaint"),
        ("my parcel arrived damaged", "complaint"),
        ("when are you open", "hours"),
        ("what are your opening hours on saturday", "hours"),
        ("can I talk to a real person please", "person"),
        ("operator", "person"),
        ("are you a robot", "robot"),
        ("wait am I talking to a machine", "robot"),
        ("sorry what did you say", "again"),
        ("please go on", "go_on"),
        ("thank you very much", "thanks"),
        ("okay bye bye", "goodbye"),
        ("stop", "enough"),
    ],
)
def test_callers_say_it_their_own_way(said: str, intent: str) -> None:
    assert intent_of(said) == intent


@pytest.mark.parametrize(
    "said",
    [
        "do you sell boxes",
        "what is the weather like in london",
        "I would like to book a table for two",
        "how much money is on my account",
        "play some music",
        "yes",
        "one two three",
    ],
)
def test_what_nobody_wrote_a_pattern_for_matches_nothing(said: str) -> None:
    assert intent_of(said) is None


def test_exactly_what_is_written_scores_one() -> None:
    found = MENU.best(normalise(["where", "is", "my", "parcel"]))
    assert found is not None
    assert found.score == pytest.approx(1.0)


def test_digits_of_a_pattern_come_with_the_match() -> None:
    found = MENU.best(
        normalise(["where", "is", "my", "parcel", "one", "two", "three", "four", "five", "six", "seven", "eight"])
    )
    assert found is not None
    assert (found.intent, found.slot, found.digits) == ("track", "number", "12345678")


def test_of_equal_matches_the_first_written_wins() -> None:
    matcher = Matcher([("first", [parse_pattern("stop it")]), ("second", [parse_pattern("stop it")])])
    found = matcher.best(["stop", "it"])
    assert found is not None
    assert found.intent == "first"


def test_endings_and_one_wrong_letter_do_not_matter() -> None:
    assert stem("parcels") == stem("parcel")
    assert stem("delivered") == stem("deliver") == stem("delivering")
    assert one_letter_off("parcel", "pacel")
    assert one_letter_off("parcel", "parcal")
    assert not one_letter_off("parcel", "pascal")


POINTING = Matcher(
    [
        ("find", [parse_pattern("find my ( parcel | box )"), parse_pattern("where is my parcel")]),
        ("blame", [parse_pattern("my parcel is ( broken | wet )"), parse_pattern("your driver is rude")]),
    ],
    {"blame": ["smashed", "where"], "find": ["lost"]},
)


@pytest.mark.parametrize(
    ("said", "intent"),
    [
        ("it came wet", ""),  # a word of its forms alone is not enough
        ("rude and wet", "blame"),  # two are
        ("all smashed", "blame"),  # one that its author lists
        ("everything smash", "blame"),  # in another form of speech
        ("the parcel is lost", "find"),
        ("where", "blame"),  # a listed word belongs to those that list it
        ("my parcel", ""),  # a word of both
        ("lost and smashed", ""),  # one for each
        ("hello good morning", ""),
        ("is my the", ""),
    ],
)
def test_words_of_one_intent_alone_point_to_it(said: str, intent: str) -> None:
    assert POINTING.guess(normalise(said.split())) == intent
