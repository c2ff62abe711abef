"""The search over what can be said: only paths of the network come out, however the audio is cut, whatever is heard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.backchannels import HEARD_PHRASES
from agent.expectation import NOTHING_KNOWN, Expect, ExpectKind
from agent.model.parts.completeness import State, match
from agent.model.parts.grammar import TAKING_WORDS
from agent.model.parts.numbers import DIGITS, read_digits
from agent.model.parts.patterns import vocabulary
from agent.model.parts.recogniser import Mode
from agent.model.parts.words_engine import SURE
from agent.model.small.words_graph import graph_of
from agent.model.small.words_network import CORRECTIONS, RARE, network
from agent.model.small.words_phones import LABELS, PHONES, knows, labels, pronunciations, sounds_of
from agent.model.small.words_search import NOTHING_FOUND, Found, Search
from agent.model.small.words_sure import confidence

EIGHT = Expect(kind=ExpectKind.DIGITS, digits=8)
CHECKED = Expect(kind=ExpectKind.DIGITS, digits=4, check="luhn")
YES_NO = Expect(kind=ExpectKind.YES_NO)
MENU = Expect(
    kind=ExpectKind.PHRASES,
    phrases=("where is my ( parcel | package )", "i want to complain", "speak to a ( person | human )"),
)
Frames = NDArray[np.float32]


def heard(text: str, sure: float = 0.9) -> Frames:
    """Log-probabilities as a net gives them that hears ``text``: a spike for each phone, blanks between."""
    sounds = sounds_of(text)
    assert sounds is not None, text
    frames = []
    for sound in sounds:
        frames += [_frame(0, 0.98)] * 3 + [_frame(sound, sure)]
    return np.array(frames + [_frame(0, 0.98)] * 6, np.float32)


def _frame(label: int, sure: float) -> NDArray[np.float64]:
    frame = np.full(LABELS, (1 - sure) / (LABELS - 1))
    frame[label] = sure
    return np.log(frame)


def search(frames: Frames, expect: Expect, mode: Mode = Mode.ANSWER) -> Found:
    started = Search(graph_of(expect, mode))
    started.push(frames)
    return started.finish()


@pytest.mark.parametrize(
    ("expect", "text"),
    [
        (EIGHT, "one two three four five six seven eight"),
        (EIGHT, "six six seven seven oh one"),
        (EIGHT, "double five nine"),
        (EIGHT, "one two no sorry one three four"),
        (Expect(kind=ExpectKind.DIGITS), "one two three four five six seven eight nine zero one two"),
        (YES_NO, "yes"),
        (YES_NO, "no that's wrong"),
        (MENU, "where is my package"),
        (Expect(kind=ExpectKind.DATE), "on friday the twenty third of may"),
        (Expect(kind=ExpectKind.DIGITS, digits=4, also_yes_no=True), "no"),
        (NOTHING_KNOWN, "yes"),
    ],
)
def test_what_is_expected_is_heard(expect: Expect, text: str) -> None:
    found = search(heard(text), expect)
    assert " ".join(found.texts) == text
    assert confidence(found) > 0.5


@pytest.mark.parametrize("expect", [EIGHT, CHECKED, YES_NO, MENU])
def test_what_is_not_expected_is_not_told(expect: Expect) -> None:
    assert confidence(search(heard("the weather looks rather dismal"), expect)) < SURE


def test_words_around_an_answer_do_no_harm() -> None:
    assert search(heard("um it is four two"), EIGHT).texts == ("four", "two")
    assert "package" in search(heard("could you tell me the whereabouts of my package"), MENU).texts


def test_a_number_is_as_long_as_it_may_be() -> None:
    assert len(search(heard("one two three four five six"), Expect(kind=ExpectKind.DIGITS, digits=4)).texts) <= 4


def test_one_digit_too_many_is_heard_where_that_is_worth_telling() -> None:
    over = Expect(kind=ExpectKind.DIGITS, digits=4, over=True)
    assert search(heard("one two three four five"), over).texts == ("one", "two", "three", "four", "five")
    assert search(heard("one two three four"), over).texts == ("one", "two", "three", "four")


def test_the_check_digit_decides_between_near_readings() -> None:
    """4 2 1 8 is right by Luhn; the third digit was heard as 9 a little rather than as 1."""
    frames = heard("four two one eight")
    places = [index for index, frame in enumerate(frames) if frame.argmax() == labels("W")[0]]
    at = places[-1]  # the W of "one"
    unclear = np.full(LABELS, 0.1 / (LABELS - 2))
    unclear[labels("W")[0]], unclear[labels("N")[0]] = 0.43, 0.47
    vowel = np.full(LABELS, 0.1 / (LABELS - 2))
    vowel[labels("AH")[0]], vowel[labels("AY")[0]] = 0.43, 0.47
    frames[at], frames[at + 4] = np.log(unclear), np.log(vowel)
    free = search(frames, Expect(kind=ExpectKind.DIGITS, digits=4))
    assert free.texts == ("four", "two", "nine", "eight")
    assert free.share < -0.3, "another reading is nearly as good"
    assert search(frames, CHECKED).texts == ("four", "two", "one", "eight")


def test_a_number_with_a_wrong_check_digit_is_told_as_it_was_said() -> None:
    assert search(heard("four two one nine"), CHECKED).texts == ("four", "two", "one", "nine")


def test_over_our_voice_the_words_that_take_the_floor_are_heard() -> None:
    assert search(heard("stop"), NOTHING_KNOWN, Mode.OVERLAP).texts == ("stop",)
    assert search(heard("uh-huh"), NOTHING_KNOWN, Mode.OVERLAP).texts == ("uh-huh",)


def test_words_have_times() -> None:
    found = search(heard("one two"), EIGHT)
    one, two = found.words
    assert 0 <= one.start < one.end <= two.start + 0.06 < two.end <= 0.03 * len(heard("one two"))


def test_no_audio_gives_nothing() -> None:
    assert Search(graph_of(EIGHT, Mode.ANSWER)).finish() == NOTHING_FOUND
    assert confidence(NOTHING_FOUND) == 0.0


def test_a_word_that_nobody_knows_costs_its_own_alternative_only() -> None:
    odd = Expect(kind=ExpectKind.PHRASES, phrases=("my xqzzt | my parcel",))
    assert search(heard("my parcel"), odd).texts == ("my", "parcel")


def test_every_word_that_we_listen_for_by_ourselves_is_known() -> None:
    assert not [word for word in vocabulary(TAKING_WORDS) | (set(DIGITS) - RARE) if not knows(word)]
    assert not [word for phrase in HEARD_PHRASES for word in phrase.split() if not knows(word)]
    assert all(
        1 <= label <= len(PHONES) for word in DIGITS.keys() - RARE for way in pronunciations(word) for label in way
    )


@st.composite
def noises(draw: st.DrawFn) -> Frames:
    """Frames of any kind: sure, unsure, of phones that follow each other in no way."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 40))
    logits = rng.standard_normal((count, LABELS)) * draw(st.sampled_from((0.5, 3.0, 12.0)))
    logits[:, 0] += draw(st.sampled_from((0.0, 4.0)))
    shifted = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return shifted.astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(noises(), st.sampled_from([EIGHT, CHECKED, YES_NO, MENU, Expect(kind=ExpectKind.DATE)]))
def test_nothing_outside_of_the_network_ever_comes_out(frames: Frames, expect: Expect) -> None:
    started = Search(graph_of(expect, Mode.ANSWER))
    allowed = {word for word in network(expect, Mode.ANSWER).words if word}
    for frame in frames:
        started.push(frame[None])
        words = started.partial().texts
        assert set(words) <= allowed
        if expect.kind is ExpectKind.DIGITS:
            most = expect.digits or 0
            assert all(len(group) <= most for group in read_digits(words).groups)
    found = started.finish()
    assert found.share <= 0
    assert 0 <= confidence(found) <= 1
    if expect is YES_NO and found.words:
        assert match(found.texts, expect).state in (State.COMPLETE, State.PREFIX)


@settings(max_examples=15, deadline=None)
@given(noises(), st.lists(st.integers(1, 7), min_size=1, max_size=12))
def test_a_search_in_pieces_is_the_search_of_the_whole(frames: Frames, cuts: list[int]) -> None:
    whole = search(frames, EIGHT)
    pieces = Search(graph_of(EIGHT, Mode.ANSWER))
    at = 0
    for cut in cuts:
        pieces.push(frames[at : at + cut])
        pieces.partial()
        at += cut
    pieces.push(frames[at:])
    assert pieces.finish() == whole


def test_corrections_begin_the_number_anew() -> None:
    for correction in CORRECTIONS:
        found = search(heard(f"one two {correction} three four"), EIGHT)
        assert " ".join(found.texts) == f"one two {correction} three four"
