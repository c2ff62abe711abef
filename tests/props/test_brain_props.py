"""Random callers against the shipped dialogue."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.brain.flow.conversation import FlowConversation
from agent.brain.flow.dates import read_date
from agent.brain.flow.digits import correct_digits, read_digits
from agent.brain.flow.patterns import PatternError, parse_pattern
from agent.brain.flow.speech import Line, Speech, clause_start
from agent.brain.flow.words import DIGIT_WORDS, normalise, spell_digits
from agent.brain.protocol import Say
from tests.unit.agent.brain.talk import Reply, Talk, parcel

SENTENCES = (
    "where is my parcel", "one two three four five six seven eight", "one two three four", "yes", "no",
    "no the last one is nine", "change the delivery day", "friday", "no saturday", "I want to complain", "no number",
    "the box was wet", "what are your opening hours", "are you a robot", "say that again", "go on", "stop",
    "do you sell boxes", "hm", "", "thank you",
)  # fmt: skip
PIECES = "not no the last one two is friday next may fifth sorry 5 {x} ' é double twenty in days".split()  # noqa: SIM905
MOVE = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(SENTENCES), st.one_of(st.none(), st.integers(0, 40))),
    st.tuples(st.just("key"), st.sampled_from("0123456789*#"), st.none()),
    st.tuples(st.just("result"), st.sampled_from([{}, None, {"ok": True}, {"status": "in_transit"}]), st.none()),
)
MOVES = st.lists(MOVE, max_size=8)
FEW = settings(max_examples=60, deadline=None)


def state_of(talk: Talk):  # type: ignore[no-untyped-def]
    assert isinstance(talk.conversation, FlowConversation)
    return talk.conversation.state


def played(moves: list[tuple[str, object, int | None]]) -> tuple[Talk, list[Reply]]:
    """A call after these moves, and what was answered to each."""
    talk = parcel()
    replies = []
    asked = []
    for kind, what, cut in moves:
        if kind == "say":
            replies.append(talk.say(str(what), cut=cut))
        elif kind == "key":
            replies.append(talk.keys(str(what)))
        elif asked:
            replies.append(talk.result(asked.pop(), what))
        asked += [tool for reply in replies[-1:] for tool in reply.tools if tool not in asked]
    return talk, replies


@given(MOVES, st.sampled_from(SENTENCES))
@FEW
def test_a_preview_changes_nothing(moves: list[tuple[str, object, int | None]], said: str) -> None:
    talk, _ = played(moves)
    before = state_of(talk)
    talk.turns += 1
    preview = talk.conversation.preview(talk.as_turn(said))
    assert state_of(talk) == before
    if preview is not None:
        talk.turns -= 1
        assert talk.say(said).actions == tuple(preview)


@given(MOVES, st.sampled_from(SENTENCES), st.integers(0, 30))
@FEW
def test_a_reopened_turn_leaves_no_trace_but_tools(
    moves: list[tuple[str, object, int | None]], said: str, cut: int
) -> None:
    talk, _ = played(moves)
    before = state_of(talk)
    talk.say(said, cut=cut)
    asked = state_of(talk).asked
    talk.conversation.reopened(talk.turns)
    assert replace(state_of(talk), asked=before.asked) == before
    assert state_of(talk).asked == asked


@given(MOVES)
@FEW
def test_a_turn_is_never_answered_with_silence(moves: list[tuple[str, object, int | None]]) -> None:
    talk, _ = played(moves)
    for said in ("what now", ""):
        reply = talk.say(said)
        assert reply.text or reply.tools or reply.ending


@given(st.integers(0, 200))
@FEW
def test_resume_begins_at_the_clause_that_was_cut(cut: int) -> None:
    talk = parcel()
    reply = talk.say("what are your opening hours", cut=cut)
    words = reply.text.split()
    rest = " ".join(action.text for action in talk.conversation.resume() if isinstance(action, Say)).split()
    if cut >= len(words):
        assert rest == []
        return
    start = len(words) - len(rest)
    assert words[start:] == rest, "what is said again is the end of what was to be said"
    assert start <= cut, "nothing is skipped"
    assert start == clause_start(words, cut), "no clause that was heard whole is repeated"


@given(st.text(alphabet="ab,. ", min_size=1, max_size=60), st.integers(0, 30))
@FEW
def test_the_rest_of_any_text_covers_every_unheard_word(text: str, cut: int) -> None:
    words = text.split()
    speech = replace(Speech(lines=(Line(text=text),)), heard_words=min(cut, len(words)))
    rest = " ".join(line.text for line in speech.rest()).split()
    assert len(rest) >= len(words) - cut
    assert rest == words[len(words) - len(rest) :]


@given(st.text(alphabet="0123456789", min_size=1, max_size=12), st.sampled_from([(), (4, 4), (3, 3, 3)]))
@FEW
def test_a_number_read_back_is_read_in_again(digits: str, groups: tuple[int, ...]) -> None:
    assert read_digits(normalise(spell_digits(digits, groups).split())).digits == digits


@given(st.text(alphabet="0123456789", min_size=8, max_size=8), st.integers(1, 7), st.integers(1, 7))
@FEW
def test_a_mid_sentence_correction_gives_the_whole_number(digits: str, at: int, wrong: int) -> None:
    """The caller says ``at`` digits, the last of them wrong, takes it back and goes on from the right one."""
    said = [DIGIT_WORDS[int(digit)] for digit in digits]
    slip = DIGIT_WORDS[(int(digits[at - 1]) + wrong) % 10]
    tokens = [*said[: at - 1], slip, "no", "sorry", *said[at - 1 :]]
    assert read_digits(tokens, length=8).digits == digits


@given(st.text(alphabet="0123456789", min_size=8, max_size=8), st.sampled_from("0123456789"))
@FEW
def test_a_correction_of_the_last_digit_changes_only_that(digits: str, last: str) -> None:
    tokens = ["no", "the", "last", "one", "is", DIGIT_WORDS[int(last)]]
    assert correct_digits(digits, tokens).value == digits[:-1] + last


@given(st.lists(st.sampled_from(PIECES), max_size=12))
@FEW
def test_no_words_break_a_reader(words: list[str]) -> None:
    tokens = normalise(words)
    read_date(tokens, date(2024, 2, 29))
    read_digits(tokens, length=8)
    correct_digits("12345678", tokens)


@given(st.text(alphabet="ab|()[]{} ", max_size=30))
@FEW
def test_any_pattern_is_read_or_refused(source: str) -> None:
    try:
        pattern = parse_pattern(source)
    except PatternError:
        return
    assert all(pattern.forms)
