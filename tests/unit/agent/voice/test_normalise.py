from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.voice.normalise import tokens
from agent.voice.numbers import cardinal, group_sizes, ordinal, year

TABLE = {
    "12345678": "one two three four, five six seven eight",
    "1234567": "one two three, four five six seven",
    "0042": "zero zero four two",
    "7": "seven",
    "245": "two hundred and forty five",
    "1,234": "one thousand two hundred and thirty four",
    "3.5": "three point five",
    "50%": "fifty percent",
    "9:30": "nine thirty",
    "9:00": "nine o'clock",
    "9:05": "nine oh five",
    "5pm": "five P M",
    "5:30pm": "five thirty P M",
    "9-17": "nine to seventeen",
    "9–17": "nine to seventeen",
    "555-0143": "five five five, zero one four three",
    "+4930123456": "plus four nine three, zero one two, three four five six",
    "5 May": "the fifth of|may",
    "the 5 May": "the|fifth of|may",
    "May 5, 2026": "may|fifth|twenty twenty six",
    "5th": "fifth",
    "2026-05-05": "may fifth, twenty twenty six",
    "Sep 3": "september|third",
    "in 1999": "in|nineteen ninety nine",
    "$12.50": "twelve dollars and fifty cents",
    "$0.99": "ninety nine cents",
    "£1.01": "one pound and one penny",
    "€5": "five euros",
    "5 €": "five|euros",
    "AB12": "A B one two",
    "DHL": "D H L",
    "OK": "ok",
    "9 AM": "nine|A M",
    "I AM": "I|am",
    "12 PM": "twelve|P M",
    "NASA": "nasa",
    "mhm": "um hum",
    "mm-hmm": "um hum",
    "Hmm.": "hum",
    "uh-huh": "uh huh",
    "Dr. Smith": "doctor|Smith",
    "No. 5": "number|five",
    "No.": "No",
    "30 min.": "thirty|minutes",
    "e.g. this": "for example|this",
    "and/or": "and or",
    "info@example.com": "info at example dot com",
    "café": "cafe",
    "it’s": "it's",
    "dogs'": "dogs",
    "well-known": "well known",
    "& #5": "and|number five",
}


@pytest.mark.parametrize(("text", "spoken"), TABLE.items())
def test_written_forms_are_spoken_as_people_say_them(text: str, spoken: str) -> None:
    assert "|".join(token.spoken for token in tokens(text)) == spoken


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("Yes, please.", ",."),
        ('"Hello," she said...', ", ."),
        ("wait — no", "- "),
        ("open: 9 to 5; bye!", ":  ;!"),
        ("It is Main St.", "   ."),
        ("really?!", "?"),
    ],
)
def test_marks_are_found_behind_words(text: str, marks: str) -> None:
    assert "".join(token.mark or " " for token in tokens(text)) == marks


@given(st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_sources_joined_are_the_text_and_nothing_strange_is_spoken(text: str) -> None:
    found = tokens(text)
    if found:
        assert " ".join(token.source for token in found) == " ".join(text.split())
    for token in found:
        assert token.spoken.strip(" ,") == token.spoken != ""
        assert all(char.isascii() and (char.isalpha() or char in "', ") for char in token.spoken)


@settings(deadline=None)
@given(st.integers(1, 60))
def test_digit_groups_cover_all_digits_in_short_groups(count: int) -> None:
    sizes = group_sizes(count)
    assert sum(sizes) == count
    assert max(sizes) <= 4


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "zero"), (19, "nineteen"), (40, "forty"), (101, "one hundred and one"), (1_000_000, "one million")],
)
def test_cardinals(number: int, words: str) -> None:
    assert cardinal(number) == words


def test_ordinals_and_years() -> None:
    assert [ordinal(n) for n in (1, 12, 20, 31)] == ["first", "twelfth", "twentieth", "thirty first"]
    assert [year(n) for n in (2026, 2005, 1900, 1905)] == [
        "twenty twenty six",
        "two thousand and five",
        "nineteen hundred",
        "nineteen oh five",
    ]
