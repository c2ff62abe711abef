"""The pure parts of a chat brain: events, clauses, deltas, tool lists, history."""

from __future__ import annotations

import json

import pytest

from agent.brain.chat_delta import AnswerFailed, BadDelta, DeltaReader
from agent.brain.chat_history import ChatHistory
from agent.brain.clauses import ClauseCutter, speakable
from agent.brain.sse import SseParser, TooLong
from agent.brain.tool_specs import parse_tools
from agent.errors import ConfigError


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_events_come_out_whole_whatever_ends_their_lines(end: bytes) -> None:
    text = b": hello" + end + b"event: x" + end + b"data: one" + end + b"data: two" + end + end + b"data:3" + end + end
    for size in (1, 2, 7, len(text)):
        parser = SseParser()
        found = [event for at in range(0, len(text), size) for event in parser.feed(text[at : at + size])]
        found += parser.feed(b"\n")  # a lone carriage return waits for what follows
        assert found == ["one\ntwo", "3"]


def test_event_without_end_is_refused_before_it_fills_the_memory() -> None:
    parser = SseParser(most_bytes=100)
    assert parser.feed(b"data: 12345\n" * 8) == []
    with pytest.raises(TooLong):
        parser.feed(b"data: 12345\n" * 12)


def cut(text: str) -> list[str]:
    cutter = ClauseCutter()
    pieces = [piece for letter in text for piece in cutter.feed(letter)]
    rest = cutter.rest()
    return [*pieces, *([rest] if rest else [])]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Yes. It is here.", ["Yes.", "It is here."]),
        ("Well, your parcel is here, in Berlin, I think.", ["Well, your parcel is here,", "in Berlin, I think."]),
        ("Dr. Smith costs 3.50 euros. Really!", ["Dr. Smith costs 3.50 euros.", "Really!"]),
        ("**Bold** and `code`, see [here](http://x.y).\n- one\n- two", ["Bold and code,", "see here.", "one", "two"]),
        ("1. First thing.\n2. Second thing.", ["1. First thing.", "2. Second thing."]),
        ("", []),
        (" \n \n", []),
    ],
)
def test_text_is_cut_where_it_can_be_spoken(text: str, pieces: list[str]) -> None:
    assert [piece.rstrip() for piece in cut(text)] == pieces


def test_text_without_any_mark_is_cut_at_a_word() -> None:
    assert [len(piece.split()) for piece in cut("word " * 100)] == [40, 40, 20]


def test_marks_of_written_text_are_not_spoken() -> None:
    assert speakable("## A *very* ~~old~~ `thing`") == "A very old thing"


def test_tool_calls_are_put_together_by_their_index() -> None:
    reader = DeltaReader()
    for index, part in ((1, "{"), (0, '{"a"'), (1, "}"), (0, ":1}")):
        name = "f" if part.startswith("{") else None
        call = {"index": index, "id": f"c{index}", "function": {"name": name, "arguments": part}}
        reader.read(json.dumps({"choices": [{"delta": {"tool_calls": [call]}}]}))
    assert [(call.call_id, call.arguments) for call in reader.calls] == [("c0", '{"a":1}'), ("c1", "{}")]


@pytest.mark.parametrize(
    "event", ["{", "[]", '{"choices":[1]}', '{"choices":[{"delta":{"tool_calls":[{"index":99}]}}]}', "[" * 5000]
)
def test_bad_event_is_named_and_raises_nothing_else(event: str) -> None:
    with pytest.raises(BadDelta):
        DeltaReader().read(event)


def test_error_of_the_endpoint_is_told() -> None:
    with pytest.raises(AnswerFailed, match="overloaded"):
        DeltaReader().read('{"error": {"message": "overloaded"}}')


def history(most: int = 10_000) -> ChatHistory:
    return ChatHistory("sys", most_characters=most)


def test_given_text_is_no_part_of_the_history_until_it_is_heard() -> None:
    told = history()
    told.said("hi", turn=1)
    answer = told.new_answer()
    answer.give("One.")
    answer.give("Two.")
    assert told.messages()[1:] == [{"role": "user", "content": "hi"}]
    assert told.messages(in_flight=True)[2]["content"] == "One. Two."
    told.heard("One.")
    assert told.messages()[2] == {"role": "assistant", "content": "One."}


def test_filler_that_was_heard_stands_where_it_was_heard() -> None:
    told = history()
    told.said("hi", turn=1)
    told.new_answer().give("The answer.")
    told.heard("One moment.")
    told.heard("The answer.")
    assert told.messages()[2]["content"] == "One moment. The answer."


def test_interruption_leaves_the_rest_from_the_text_that_was_cut() -> None:
    told = history()
    answer = told.new_answer()
    for text in ("One is first.", "Two is next.", "Three is last."):
        answer.give(text)
    told.heard("One is first.")
    told.interrupted("Two is", "next. Three is last.")
    assert told.messages()[1]["content"] == "One is first. Two is"
    assert told.take_rest() == ["Two is next.", "Three is last."]
    assert told.take_rest() == []


def test_oldest_turns_are_forgotten_first_and_the_system_prompt_never() -> None:
    told = history(most=60)
    for number in range(10):
        told.said(f"question number {number}", turn=number + 1)
        told.new_answer().give("Yes.")
        told.heard("Yes.")
    messages = told.messages()
    assert messages[0] == {"role": "system", "content": "sys"}
    assert messages[-3] == {"role": "user", "content": "question number 9"}
    assert len(messages) < 10


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{", "t.yaml"),
        ("a: 1", "t.yaml"),
        ("[1]", "t.yaml[0]"),
        ("[{name: a b}]", "t.yaml[0].name"),
        ("[{name: a, colour: red}]", "t.yaml[0]"),
        ("[{name: a, parameters: {type: array}}]", "t.yaml[0].parameters"),
        ("[{name: a}, {name: a}]", "t.yaml"),
    ],
)
def test_tool_list_that_cannot_be_used_is_refused_by_name(text: str, where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_tools(text, "t.yaml")
    assert refused.value.path == where


def test_tool_list_is_read() -> None:
    (tool,) = parse_tools("[{name: track, description: Where it is., filler: Let me look.}]", "t.yaml")
    assert tool.to_chat()["function"]["parameters"] == {"type": "object", "properties": {}}
    assert tool.filler == "Let me look."
