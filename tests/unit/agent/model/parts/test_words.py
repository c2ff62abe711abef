"""Patterns, digits, completeness, endpoint and overlap: all pure."""

from __future__ import annotations

import numpy as np
import pytest

from agent.backchannels import HEARD_PHRASES
from agent.expectation import NOTHING_KNOWN, Expect, ExpectKind
from agent.model.parts.completeness import State, match
from agent.model.parts.endpoint import (
    DIGITS_COMPLETE_MS,
    DIGITS_MISSING_MS,
    DIGITS_ONE_SHORT_MS,
    HANGING_MS,
    NO_MS,
    NOT_HEARD_MS,
    OUTSIDE_MS,
    PHRASE_MS,
    PREFIX_MS,
    YES_MS,
    needed_silence_ms,
    needed_silence_without_words_ms,
    p_end,
)
from agent.model.parts.grammar import TAKING_WORDS, digit_string, grammar, split_alternatives
from agent.model.parts.numbers import read_digits
from agent.model.parts.overlap import Verdict, judge
from agent.model.parts.patterns import PatternError, compile_patterns, search
from agent.model.parts.recogniser import Mode
from agent.model.parts.turns import Turn

EIGHT = Expect(kind=ExpectKind.DIGITS, digits=8)
YES_NO = Expect(kind=ExpectKind.YES_NO)
PARCEL = Expect(
    kind=ExpectKind.PHRASES,
    phrases=("where is my ( parcel | package ) [ please ]", "[ i want to ] change the delivery day"),
)


MENU = Expect(kind=ExpectKind.PHRASES, phrases=PARCEL.phrases, digits=8)
"""It takes a parcel's number as well."""


def said(text: str, expect: Expect) -> State:
    return match(tuple(text.split()), expect).state


@pytest.mark.parametrize(
    ("text", "complete", "unfinished"),
    [
        ("where is my parcel", True, True),
        ("where is my parcel please", True, False),
        ("where is my", False, True),
        ("hello where is", False, True),
        ("where is your parcel", False, False),
        ("change the delivery day", True, False),
    ],
)
def test_patterns_are_found_behind_other_words(text: str, complete: bool, unfinished: bool) -> None:
    found = search(compile_patterns(PARCEL.phrases), text.split())
    assert (found.complete, found.unfinished) == (complete, unfinished)


@pytest.mark.parametrize("pattern", ["( a | b", "a )", "[ a", "( a ]", "(" * 30 + "a" + ")" * 30, "a " * 2000])
def test_a_pattern_that_cannot_be_read_says_so(pattern: str) -> None:
    with pytest.raises(PatternError, match="pattern"):
        compile_patterns((pattern,))


def test_an_unreadable_pattern_costs_only_itself() -> None:
    expect = Expect(kind=ExpectKind.PHRASES, phrases=("( broken", "where is it"))
    assert said("where is it", expect) is State.COMPLETE


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("one two three", ("123",)),
        ("oh double seven", ("077",)),
        ("it's twenty three forty", ("2340",)),
        ("triple five nought", ("5550",)),
        ("thirteen seven", ("137",)),
        ("one two three no four", ("123", "4")),
        ("no sorry one two", ("12",)),
    ],
)
def test_digits_are_read_as_people_say_them(text: str, groups: tuple[str, ...]) -> None:
    assert read_digits(text.split()).groups == groups


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("", State.SILENT),
        ("one two three four five six seven", State.PREFIX),
        ("one two three four five six seven eight", State.COMPLETE),
        ("one two three four five six seven eight thank you", State.COMPLETE),
        ("one two three double", State.PREFIX),
        ("one two three no", State.PREFIX),
        ("one two three four five six seven nine no eight", State.COMPLETE),
        ("one two no one two three four five six seven eight", State.COMPLETE),
        ("hello there", State.OUTSIDE),
    ],
)
def test_eight_digits_are_complete_at_the_eighth(text: str, state: State) -> None:
    assert said(text, EIGHT) is state


@pytest.mark.parametrize(
    ("text", "expect", "state"),
    [
        ("yes", YES_NO, State.COMPLETE),
        ("um yeah", YES_NO, State.COMPLETE),
        ("that's wrong", YES_NO, State.COMPLETE),
        ("that's", YES_NO, State.PREFIX),
        ("purple", YES_NO, State.OUTSIDE),
        ("yes", Expect(kind=ExpectKind.DIGITS, digits=4, also_yes_no=True), State.COMPLETE),
        ("no one two", Expect(kind=ExpectKind.DIGITS, digits=4, also_yes_no=True), State.PREFIX),
        ("on friday", Expect(kind=ExpectKind.DATE), State.COMPLETE),
        ("on", Expect(kind=ExpectKind.DATE), State.PREFIX),
        ("the fifth of may", Expect(kind=ExpectKind.DATE), State.COMPLETE),
        ("the day after tomorrow", Expect(kind=ExpectKind.DATE), State.COMPLETE),
        ("anything at all", Expect(kind=ExpectKind.FREE), State.OUTSIDE),
        ("on my capital one card", MENU, State.OUTSIDE),
        ("where is one my parcel", MENU, State.OUTSIDE),
        ("my number is one two", MENU, State.PREFIX),
        ("one two double", MENU, State.PREFIX),
        ("one two three four five six seven eight is my parcel", MENU, State.COMPLETE),
    ],
)
def test_answers_are_complete_when_nothing_must_follow(text: str, expect: Expect, state: State) -> None:
    assert said(text, expect) is state


@pytest.mark.parametrize(
    ("text", "expect", "needed_ms"),
    [
        ("one two three four five six seven eight", EIGHT, DIGITS_COMPLETE_MS),
        ("one two three four five six seven", EIGHT, DIGITS_ONE_SHORT_MS),
        ("one two three four", EIGHT, DIGITS_MISSING_MS),
        ("yes", YES_NO, YES_MS),
        ("no", YES_NO, NO_MS),
        ("change the delivery day", PARCEL, PHRASE_MS),
        ("where is my", PARCEL, PREFIX_MS),
        ("i would like to", Expect(kind=ExpectKind.FREE), HANGING_MS),
        ("it never came", Expect(kind=ExpectKind.FREE), OUTSIDE_MS),
        ("", NOTHING_KNOWN, NOT_HEARD_MS),
    ],
)
def test_silence_needed_follows_what_was_said(text: str, expect: Expect, needed_ms: int) -> None:
    assert needed_silence_ms(match(tuple(text.split()), expect)) == needed_ms


def test_without_words_a_number_too_short_for_its_digits_waits() -> None:
    assert needed_silence_without_words_ms(EIGHT, 1200) > needed_silence_without_words_ms(EIGHT, 2200)


def test_the_end_score_crosses_half_exactly_at_the_silence_needed() -> None:
    scores = p_end(np.array([239, 240, 241, 480, 9999]), np.full(5, 240))
    assert (scores >= 0.5).tolist() == [False, True, True, True, True]
    assert scores.max() == 1.0


@pytest.mark.parametrize(
    ("text", "expect", "verdict"),
    [
        ("stop", NOTHING_KNOWN, Verdict.TAKES),
        ("yeah hold on", NOTHING_KNOWN, Verdict.TAKES),
        ("actually", NOTHING_KNOWN, Verdict.TAKES),
        ("what", NOTHING_KNOWN, Verdict.UNDECIDED),
        ("what did you say", NOTHING_KNOWN, Verdict.TAKES),
        ("mhm", NOTHING_KNOWN, Verdict.BACKCHANNEL),
        ("yeah okay right", NOTHING_KNOWN, Verdict.BACKCHANNEL),
        ("i see", NOTHING_KNOWN, Verdict.BACKCHANNEL),
        ("", NOTHING_KNOWN, Verdict.UNDECIDED),
        ("five", EIGHT, Verdict.TAKES),
        ("five", NOTHING_KNOWN, Verdict.UNDECIDED),
        ("change the", PARCEL, Verdict.TAKES),
        ("where is my parcel", PARCEL, Verdict.TAKES),
        ("the television", NOTHING_KNOWN, Verdict.UNDECIDED),
    ],
)
def test_words_decide_what_an_overlap_is(text: str, expect: Expect, verdict: Verdict) -> None:
    assert judge(text.split(), expect, 400) is verdict


def test_all_that_is_listened_for_over_our_voice_decides() -> None:
    """ "actually" was in the grammar and in no pattern: half of the "stop please" ended as nothing."""
    listened = [words for pattern in TAKING_WORDS for words in split_alternatives(pattern)]
    plain = [words for words in listened if not set("[(") & set(words)]
    assert len(plain) >= 15
    assert [words for words in plain if judge(words.split(), NOTHING_KNOWN, 400) is not Verdict.TAKES] == []


def test_long_speech_is_more_than_a_backchannel() -> None:
    assert judge(["yeah"], NOTHING_KNOWN, 3000) is Verdict.UNDECIDED


@pytest.mark.parametrize("words", ["never", "excuse", "that is", "um hold", "okay just a"])
def test_the_beginning_of_a_floor_taking_phrase_is_enough_where_its_words_are_sure(words: str) -> None:
    assert judge(words.split(), NOTHING_KNOWN, 400, sure=True) is Verdict.TAKES
    assert judge(words.split(), NOTHING_KNOWN, 400) is not Verdict.TAKES


def test_a_sure_backchannel_does_not_make_sure_what_unsure_words_took() -> None:
    turn = Turn(overlap=True, current=("no", "no"))
    turn.judge_overlap(400)
    assert (turn.verdict, turn.takes_surely) == (Verdict.TAKES, False)
    turn.current, turn.sure = ("mhm",), True
    turn.judge_overlap(500)
    assert (turn.verdict, turn.takes_surely) == (Verdict.TAKES, False)
    turn.current = ("stop", "it")
    turn.judge_overlap(600)
    turn.current, turn.sure = ("mhm",), False
    turn.judge_overlap(700)
    assert turn.takes_surely, "what was said cannot be unsaid"


@pytest.mark.parametrize("phrase", HEARD_PHRASES)
def test_no_backchannel_nor_its_beginning_takes_the_floor_however_sure(phrase: str) -> None:
    words = phrase.split()
    for count in range(1, len(words) + 1):
        assert judge(words[:count], NOTHING_KNOWN, 400, sure=True) is not Verdict.TAKES


@pytest.mark.parametrize("words", ["i see", "thank you", "of course"])
def test_a_whole_backchannel_is_one_although_an_expected_phrase_begins_with_it(words: str) -> None:
    expect = Expect(kind=ExpectKind.PHRASES, phrases=("see you", "thank you very much", "of course not", "thank you"))
    assert judge(words.split(), expect, 500) is Verdict.BACKCHANNEL
    assert judge([*words.split(), "stop"], expect, 500) is Verdict.TAKES


def test_an_unknown_word_costs_its_own_alternative_only() -> None:
    built = grammar(
        Expect(kind=ExpectKind.PHRASES, phrases=("( track | zorble ) it | ( where | zorble )",)),
        Mode.ANSWER,
        lambda word: word != "zorble",
    )
    assert "zorble" not in built
    assert "( where )" in built


def test_alternatives_are_split_outside_brackets_only() -> None:
    assert split_alternatives("( a | b ) c | ( d | e )") == ("( a | b ) c", "d", "e")


def test_a_digit_grammar_holds_no_more_than_the_digits_wanted() -> None:
    assert digit_string(3).count("seven") == 9  # nested three deep, and twice more for a correction
    assert digit_string(None).endswith("+")
    assert digit_string(3, over=True).count("seven") == 12  # a fourth, for telling the caller that it is one too many


@pytest.mark.parametrize(
    ("words", "spoken_ms", "needed_ms"),
    [
        ("where is my", 560, 2300),
        ("i want", 640, 2300),  # said slowly
        ("customer", 1150, 850),  # "customer service please"
        ("what are", 1350, 850),  # "what are your opening hours"
        ("transfer", 2000, 850),
        ("where is my parcel", 3000, 340),  # whole, whatever came before
        ("i would like to know about the", 4000, 850),
        ("i will not be home for the", 900, 850),  # "how long are you open"
    ],
)
def test_a_beginning_in_speech_too_long_or_short_for_its_words_is_not_waited_for(
    words: str, spoken_ms: int, needed_ms: int
) -> None:
    phrases = (
        "where is my parcel [ please ]",
        "customer service",
        "what are your opening hours",
        "transfer me",
        "i want out",
    )
    turn = Turn(expect=Expect(kind=ExpectKind.PHRASES, phrases=phrases), current=tuple(words.split()))
    turn.spoken_ms = spoken_ms
    assert turn.needed_silence_ms(gives_words=True) == needed_ms


def test_digits_are_waited_for_however_long_their_speech_was() -> None:
    turn = Turn(expect=Expect(kind=ExpectKind.DIGITS, digits=8), current=("four", "five"), spoken_ms=5000)
    assert turn.needed_silence_ms(gives_words=True) == 2300
