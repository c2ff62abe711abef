"""Wishes in the caller's own words: asked about, agreed to, denied, never taken without a yes."""

from __future__ import annotations

import pytest

from agent.brain.protocol import Hangup, Transfer
from agent.expectation import ExpectKind
from tests.unit.agent.brain.talk import Reply, Talk, parcel

COMPLAINT = "You would like to make a complaint. Is that right?"
UNSURE = 0.3


def asked(said: str = "the glass is smashed") -> tuple[Talk, Reply]:
    talk = parcel()
    return talk, talk.say(said)


def test_a_word_of_one_intent_is_worth_a_question() -> None:
    talk, reply = asked()
    assert reply.text == COMPLAINT
    assert reply.notes["intent_guess"] == {"name": "complaint"}
    assert "intent" not in reply.notes
    assert reply.expect is not None
    assert reply.expect.kind is ExpectKind.YES_NO
    assert reply.expect.phrases, "another wish is understood as well"
    agreed = talk.say("yes please")
    assert agreed.notes["intent"] == {"name": "complaint", "confirmed": True}
    assert "what is its number" in agreed.text


def test_a_no_offers_another_way_at_once() -> None:
    talk, _ = asked()
    denied = talk.say("no")
    assert denied.text.startswith("You can ask where your parcel is")
    assert "intent" not in denied.notes
    assert isinstance(talk.say("").ending, Transfer), "whoever is not understood after that gets a person"


def test_another_wish_is_taken_instead() -> None:
    talk, _ = asked()
    assert "eight digits" in talk.say("where is my parcel").text
    assert "eight digits" in talk.say("").text, "the question is over"


def test_the_same_wish_again_is_a_yes() -> None:
    talk, _ = asked()
    assert "what is its number" in talk.say("it really is broken").text


def test_a_key_decides_too() -> None:
    talk, _ = asked()
    assert "eight digits" in talk.keys("1").text


def test_who_agrees_before_having_heard_the_question_is_asked_again() -> None:
    talk = parcel()
    talk.say("the glass is smashed", cut=2)
    reply = talk.say("yes")
    assert reply.text.endswith(COMPLAINT)
    assert "intent" not in reply.notes


def test_what_is_not_understood_puts_the_question_again_once() -> None:
    talk, _ = asked()
    assert talk.say("").text == f"Sorry, I did not catch that. {COMPLAINT}"
    assert talk.say("").text.startswith("You can ask where your parcel is")


@pytest.mark.parametrize("said", ["i want to complain", "smashed"])
def test_words_that_the_ears_are_not_sure_of_are_never_taken(said: str) -> None:
    reply = parcel().say(said, confidence=UNSURE)
    assert reply.text == COMPLAINT


def test_unsure_words_are_no_yes_and_no_value() -> None:
    talk, _ = asked()
    assert talk.say("yes", confidence=UNSURE).text.startswith("Sorry, I did not catch that.")
    talk = parcel()
    talk.say("where is my parcel")
    unsure = talk.say("one two three four five six seven eight", confidence=UNSURE)
    assert unsure.text.startswith("Sorry, I did not catch that.")


def test_an_intent_without_a_question_is_not_asked_about() -> None:
    reply = parcel().say("thank you very much", confidence=UNSURE)
    assert reply.text.startswith("Sorry, I did not catch that.")


def test_a_text_is_kept_as_it_was_heard() -> None:
    talk = parcel()
    talk.say("i want to complain")
    talk.say("no number")
    told = talk.say("box open cup smashed", confidence=UNSURE)
    assert told.tools[0].arguments == {"number": None, "text": "box open cup smashed"}


def test_nothing_is_asked_about_while_a_value_is_confirmed() -> None:
    talk = parcel()
    talk.say("where is my parcel")
    talk.say("one two three four five six seven eight")
    assert COMPLAINT not in talk.say("smashed something").text


def test_the_end_of_a_call_can_be_asked_about() -> None:
    talk = parcel()
    assert talk.say("bye then my friend from", confidence=UNSURE).text == "Shall we end the call?"
    assert isinstance(talk.say("yes").ending, Hangup)
