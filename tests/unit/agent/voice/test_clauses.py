from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.voice.clauses import LAST_PAUSE_MS, MOST_WORDS, PAUSE_MS, split


def texts(text: str) -> list[str]:
    return [clause.text for clause in split(text)]


def test_clauses_end_at_punctuation() -> None:
    assert texts("We are open from Monday to Friday, and on Saturday until one. Anything else?") == [
        "We are open from Monday to Friday,",
        "and on Saturday until one.",
        "Anything else?",
    ]


def test_one_word_before_a_comma_stays_with_what_follows() -> None:
    assert texts("Yes, of course, I can do that.") == ["Yes, of course,", "I can do that."]


def test_sentences_are_never_joined() -> None:
    assert texts("Sorry? No. Yes!") == ["Sorry?", "No.", "Yes!"]


def test_long_clause_without_marks_is_cut_before_a_joining_word() -> None:
    assert texts("I will change the delivery of your parcel to next Tuesday and send you a message then") == [
        "I will change the delivery of your parcel to next Tuesday",
        "and send you a message then",
    ]


def test_spelled_digits_count_as_words() -> None:
    clauses = split("your parcel number one is 12345678 and the other one is 87654321 okay")
    assert all(sum(len(token.spoken.split()) for token in clause.tokens) <= MOST_WORDS for clause in clauses)


def test_pauses_follow_the_marks_and_are_short_at_the_end() -> None:
    clauses = split("Here is the first thing. And here is another thing, and here is the last.")
    assert [clause.pause_ms for clause in clauses] == [PAUSE_MS["."], PAUSE_MS[","], LAST_PAUSE_MS]
    assert [clause.last for clause in clauses] == [False, False, True]


def test_nothing_to_say_gives_no_clause() -> None:
    assert split("") == split(" … — ") == []


@given(st.lists(st.sampled_from(["yes", "No.", "parcel,", "9:30", "12345678", "and", "—", "x;", "now?"]), max_size=60))
@settings(max_examples=100, deadline=None)
def test_clauses_keep_every_word_in_order_and_stay_short(words: list[str]) -> None:
    clauses = split(" ".join(words))
    if any(word != "—" for word in words):
        assert " ".join(clause.text for clause in clauses) == " ".join(words)
    at = 0
    for clause in clauses:
        assert clause.first_word == at
        at += len(clause.tokens)
        assert sum(len(token.spoken.split()) for token in clause.tokens) <= MOST_WORDS
