"""Whatever a chat endpoint sends, and in whatever pieces: nothing raises but what is promised, and no word is lost."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.brain.chat_delta import AnswerFailed, BadDelta, DeltaReader
from agent.brain.chat_history import ChatHistory
from agent.brain.clauses import ClauseCutter, speakable
from agent.brain.sse import SseParser, TooLong

WORDS = st.lists(st.text(alphabet="abcXYZ.,!?;", min_size=1, max_size=6), max_size=60).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_give_events_or_too_long(pieces: list[bytes]) -> None:
    parser = SseParser(most_bytes=200)
    with contextlib.suppress(TooLong):
        for piece in pieces:
            assert all(isinstance(event, str) for event in parser.feed(piece))


@settings(max_examples=60, deadline=None)
@given(WORDS, st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_clauses_are_the_text_whatever_the_pieces(text: str, sizes: list[int]) -> None:
    cutter, pieces, at = ClauseCutter(), [], 0
    while at < len(text):
        size = sizes[at % len(sizes)]
        pieces += cutter.feed(text[at : at + size])
        at += size
    assert " ".join([*pieces, cutter.rest()]).split() == speakable(text).split()


KEYS = ["choices", "delta", "content", "tool_calls", "index", "id", "function", "name", "arguments", "error"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_any_json_is_read_or_refused(document: object) -> None:
    with contextlib.suppress(BadDelta, AnswerFailed):
        assert isinstance(DeltaReader().read(json.dumps(document)), str)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("SGHI"), st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_history_never_holds_a_word_of_ours_that_was_not_told_as_heard(steps: list[tuple[str, int, int]]) -> None:
    history, heard, number = ChatHistory("s", most_characters=10**6), [], 0
    answer = history.new_answer()
    open_texts: list[list[str]] = []
    for kind, first, _ in steps:
        if kind == "S":
            history.said("caller", turn=1)
            answer = history.new_answer()
        elif kind == "G":
            number += 1
            words = [f"w{number}x{i}" for i in range(3)]
            open_texts.append(words)
            answer.give(" ".join(words))
        elif kind == "H" and open_texts:
            words = open_texts.pop(0)
            heard += words
            history.heard(" ".join(words))
        elif kind == "I" and open_texts:
            words = open_texts[0]
            cut = first % 4
            heard += words[:cut]
            history.interrupted(" ".join(words[:cut]), " ".join(words[cut:]))
            open_texts.clear()
    ours = [m["content"] for m in history.messages() if m["role"] == "assistant" and m["content"]]
    assert " ".join(ours).split() == heard
