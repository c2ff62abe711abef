"""What the words say about the end of a turn, for a judge that hears the sound as well."""

from __future__ import annotations

import pytest

from agent.expectation import NOTHING_KNOWN, Expect, ExpectKind
from agent.model.parts.completeness import match
from agent.model.parts.sense import Sense, sense_of
from agent.model.parts.turns import Turn

MENU = Expect(
    kind=ExpectKind.PHRASES, phrases=("what are your opening hours", "where is ( my | the ) parcel [ please ]")
)
BOTH = Expect(kind=ExpectKind.PHRASES, phrases=MENU.phrases, digits=8)
"""A menu that takes a number as well: what the shipped dialogue asks."""
EIGHT = Expect(kind=ExpectKind.DIGITS, digits=8)
YES_NO = Expect(kind=ExpectKind.YES_NO)
YES_OR_MENU = Expect(kind=ExpectKind.YES_NO, phrases=MENU.phrases)


@pytest.mark.parametrize(
    ("text", "expect", "misheard", "sense"),
    [
        ("", MENU, False, Sense.OTHER),
        ("the box was green", MENU, False, Sense.OTHER),
        ("the box was", MENU, False, Sense.HANGING),
        ("what are", MENU, False, Sense.PHRASE_HANGS),
        ("my box what are", MENU, False, Sense.HANGING),
        ("what are", MENU, True, Sense.OTHER),
        ("what are your opening", MENU, False, Sense.PHRASE_BEGUN),
        ("what are your opening", MENU, True, Sense.OTHER),
        ("where is my parcel", MENU, False, Sense.PHRASE),
        ("where is my parcel", MENU, True, Sense.PHRASE),
        ("where is my parcel", BOTH, False, Sense.PHRASE),
        ("what are your opening", BOTH, False, Sense.PHRASE_BEGUN),
        ("on my capital one card", BOTH, False, Sense.OTHER),
        ("one two three", BOTH, True, Sense.VALUE_BEGUN),
        ("one two three", EIGHT, True, Sense.VALUE_BEGUN),
        ("one two three four five six seven eight", EIGHT, False, Sense.VALUE),
        ("the", EIGHT, False, Sense.OTHER),
        ("that's", YES_NO, False, Sense.VALUE_BEGUN),
        ("yes", YES_NO, False, Sense.VALUE),
        ("what", YES_OR_MENU, False, Sense.PHRASE_BEGUN),
        ("the box", YES_OR_MENU, False, Sense.OTHER),
        ("i would like to", NOTHING_KNOWN, False, Sense.HANGING),
    ],
)
def test_sense_of_words(text: str, expect: Expect, misheard: bool, sense: Sense) -> None:
    assert sense_of(match(tuple(text.split()), expect), expect, misheard=misheard) is sense


def test_a_turn_doubts_words_that_do_not_fit_the_length_of_its_speech() -> None:
    """ "The box was left in front of the door" was heard as two words."""
    turn = Turn(expect=MENU, current=("what", "are", "your"), spoken_ms=2200)
    assert turn.sense is Sense.OTHER
    for quick_ms in (500, 800):
        turn.spoken_ms = quick_ms
        assert turn.sense is Sense.PHRASE_HANGS
