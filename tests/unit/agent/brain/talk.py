"""A call as text: words and keys in, actions out, with a caller who hears everything unless told otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from agent.brain.examples import example_path
from agent.brain.flow.brain import FlowBrain
from agent.brain.flow.load import load_dialogue, parse_dialogue
from agent.brain.protocol import (
    Action,
    CallFacts,
    Conversation,
    Hangup,
    Note,
    Say,
    SetExpect,
    Tool,
    ToolResult,
    Transfer,
    Turn,
)
from agent.expectation import Expect

WEDNESDAY = date(2026, 11, 25)


@dataclass(frozen=True)
class Reply:
    actions: tuple[Action, ...]

    @property
    def text(self) -> str:
        return " ".join(action.text for action in self.actions if isinstance(action, Say))

    @property
    def tools(self) -> list[Tool]:
        return [action for action in self.actions if isinstance(action, Tool)]

    @property
    def ending(self) -> Hangup | Transfer | None:
        return next((action for action in self.actions if isinstance(action, Hangup | Transfer)), None)

    @property
    def expect(self) -> Expect | None:
        return next((action.expect for action in reversed(self.actions) if isinstance(action, SetExpect)), None)

    @property
    def notes(self) -> dict[str, Any]:
        return {action.key: action.value for action in self.actions if isinstance(action, Note)}


def drain(actions: AsyncIterator[Action]) -> tuple[Action, ...]:
    """All actions of an iterator that waits for nothing."""
    found = []
    while True:
        try:
            actions.__anext__().__await__().send(None)
        except StopIteration as one:
            found.append(one.value)
        except StopAsyncIteration:
            return tuple(found)


class Talk:
    """One call. ``cut=n``: the caller interrupts after n words of the answer."""

    def __init__(self, brain: FlowBrain, *, variables: dict[str, Any] | None = None, open_call: bool = True) -> None:
        self.conversation: Conversation = brain.open(
            CallFacts(call_id="call1", from_uri="sip:a@x", to_uri="sip:b@x", variables=variables or {})
        )
        self.turns = 0
        self.opening = self.take(self.conversation.opening()) if open_call else None

    def take(self, actions: AsyncIterator[Action], cut: int | None = None) -> Reply:
        reply = Reply(drain(actions))
        self.hear(reply, cut)
        return reply

    def hear(self, reply: Reply, cut: int | None = None) -> None:
        says = [action.text for action in reply.actions if isinstance(action, Say)]
        if cut is None:
            for text in says:
                self.conversation.heard(text, complete=True)
            return
        words = " ".join(says).split()
        self.conversation.interrupted(" ".join(words[:cut]), " ".join(words[cut:]))

    def say(self, text: str, *, cut: int | None = None, confidence: float = 0.9) -> Reply:
        self.turns += 1
        return self.take(self.conversation.turn(self.as_turn(text, confidence)), cut)

    def as_turn(self, text: str, confidence: float = 0.9) -> Turn:
        return Turn(turn=self.turns, words=tuple(text.split()), confidence=confidence if text else 0.0)

    def keys(self, digits: str) -> Reply:
        """The answer to the last key; no key before it may be answered aloud."""
        reply = Reply(())
        for digit in digits:
            assert reply.text == "", f"answered before the last key: {reply.text}"
            reply = self.take(self.conversation.dtmf(digit))
        return reply

    def silence(self, seconds: float = 7.0) -> Reply:
        return self.take(self.conversation.silence(seconds))

    def result(self, tool: Tool, value: Any, *, ok: bool = True, cut: int | None = None) -> Reply:
        done = ToolResult(request_id=tool.request_id, ok=ok, value=value)
        return self.take(self.conversation.tool_result(done), cut)


@lru_cache(maxsize=1)
def parcel_brain() -> FlowBrain:
    return FlowBrain(load_dialogue(example_path("parcel") / "parcel.yaml"), today=lambda: WEDNESDAY)


def parcel() -> Talk:
    return Talk(parcel_brain())


def brain_of(text: str) -> FlowBrain:
    return FlowBrain(parse_dialogue(text), today=lambda: WEDNESDAY)
