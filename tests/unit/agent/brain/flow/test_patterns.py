from __future__ import annotations

import pytest

from agent.brain.flow.patterns import PatternError, parse_pattern


def test_choices_and_optional_parts_give_every_form() -> None:
    pattern = parse_pattern("where is my ( parcel | small package ) [ please ]")
    assert [" ".join(form) for form in pattern.forms] == [
        "where is my parcel please",
        "where is my parcel",
        "where is my small package please",
        "where is my small package",
    ]


def test_a_choice_may_stand_without_brackets_and_brackets_inside_brackets() -> None:
    forms = parse_pattern("stop | go [ ( right | straight ) on ]").forms
    assert [" ".join(form) for form in forms] == ["stop", "go right on", "go straight on", "go"]


def test_slots_are_named_and_left_out_of_the_phrase_for_recognisers() -> None:
    pattern = parse_pattern("Where's my parcel [ number {number} ]")
    assert pattern.slots == {"number"}
    assert pattern.phrase == "where is my parcel [ number ]"


@pytest.mark.parametrize(
    ("source", "phrase"),
    [
        ("( a | {x} | b ) c", "( a | b ) c"),
        ("{x} [ {y} ] go", "go"),
        ("[ {x} please ] go", "[ please ] go"),
        ("{x}", ""),
    ],
)
def test_brackets_emptied_by_a_slot_disappear(source: str, phrase: str) -> None:
    assert parse_pattern(source).phrase == phrase


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "empty"),
        ("where ( is", "'(' is not closed by ')'"),
        ("where [ is )", "'[' is not closed by ']'"),
        ("where is )", "')' closes nothing"),
        ("[ please ]", "matches silence"),
        ("a | ", "matches silence"),
        ("find {Number}", "is not a slot"),
        ("find {number", "not closed"),
        (" ".join(["( a | b | c )"] * 8), "more than 4000"),
    ],
)
def test_a_wrong_pattern_says_what_is_wrong(source: str, reason: str) -> None:
    with pytest.raises(PatternError) as caught:
        parse_pattern(source)
    assert reason in str(caught.value)
