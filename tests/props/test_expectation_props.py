"""Completeness over any words and any patterns: never raises, never forgets how an answer grows."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.expectation import Expect, ExpectKind
from agent.model.parts.completeness import State, match
from agent.model.parts.endpoint import needed_silence_ms
from agent.model.parts.numbers import DIGITS, read_digits
from agent.model.parts.patterns import PatternError, compile_patterns, search

WORD = st.sampled_from(["where", "is", "my", "parcel", "no", "yes", "one", "two", "double", "twenty", "um", "please"])
EXPECT = st.builds(
    Expect,
    kind=st.sampled_from(ExpectKind),
    digits=st.none() | st.integers(1, 12),
    over=st.booleans(),
    phrases=st.lists(st.text("ab()[]| ", max_size=20), max_size=3).map(tuple),
    also_yes_no=st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(words=st.lists(WORD | st.text(max_size=5), max_size=12), expect=EXPECT)
def test_any_words_have_a_state_and_a_patience(words: list[str], expect: Expect) -> None:
    found = match(words, expect)
    assert (found.state is State.SILENT) == (not words)
    assert 100 <= needed_silence_ms(found) <= 2500


@settings(max_examples=100, deadline=None)
@given(expect=EXPECT)
def test_an_expectation_survives_its_json(expect: Expect) -> None:
    assert Expect.from_json(expect.to_json()) == expect


@settings(max_examples=100, deadline=None)
@given(digits=st.lists(st.sampled_from(sorted(DIGITS)), min_size=1, max_size=12), wanted=st.integers(1, 12))
def test_plain_digits_are_complete_exactly_when_there_are_enough(digits: list[str], wanted: int) -> None:
    expect = Expect(kind=ExpectKind.DIGITS, digits=wanted)
    state = match(digits, expect).state
    assert state is (State.COMPLETE if len(digits) >= wanted else State.PREFIX)
    assert sum(len(group) for group in read_digits(digits).groups) == len(digits)


@settings(max_examples=100, deadline=None)
@given(words=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6), cut=st.integers(1, 6))
def test_every_beginning_of_a_pattern_is_unfinished(words: list[str], cut: int) -> None:
    automaton = compile_patterns((" ".join(words),))
    begun = words[:cut]
    found = search(automaton, begun)
    assert found.complete if len(begun) == len(words) else found.unfinished


@settings(max_examples=100, deadline=None)
@given(pattern=st.text("ab()[]| ", max_size=40))
def test_a_pattern_is_compiled_or_refused(pattern: str) -> None:
    try:
        automaton = compile_patterns((pattern,))
    except PatternError:
        return
    assert len(automaton.moves) <= 200
