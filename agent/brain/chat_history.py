"""The messages of one call, as a chat endpoint is told them. Pure.

What the assistant "said" is what the caller has heard, word for word, and nothing else: a text that was generated,
even one that was given to the voice, is no part of the history until it was played out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MOST_RESULT_CHARACTERS: Final = 16_384
PENDING: Final = "The result has not come yet."
NOTHING: Final = "(nothing)"
RESULT_CAME: Final = "(The result of a tool has come. Tell the caller what matters of it.)"

Message = dict[str, Any]


@dataclass(slots=True)
class Line:
    """One text that was given to be said."""

    text: str
    heard: str = ""
    is_settled: bool = False
    """What was heard of it is known."""


@dataclass(slots=True)
class Call:
    """One tool call of an answer."""

    call_id: str
    """The endpoint's."""
    request_id: str
    """Ours: the idempotency key is made of it."""
    name: str
    arguments: str
    result: str | None = None
    is_told: bool = False
    """The result was in a request that was answered."""


@dataclass(slots=True)
class Said:
    """The caller's words, a key, or something that the model must know."""

    text: str
    turn: int = 0


@dataclass(slots=True)
class Answer:
    """What one request led to."""

    lines: list[Line] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def give(self, text: str) -> None:
        self.lines.append(Line(text))

    @property
    def heard(self) -> str:
        return " ".join(line.heard for line in self.lines if line.heard)

    @property
    def in_flight(self) -> str:
        """What was heard, and what is on its way to the caller."""
        return " ".join(text for line in self.lines if (text := line.heard if line.is_settled else line.text))


class ChatHistory:
    """What was said and heard in one call."""

    def __init__(self, system: str, *, most_characters: int) -> None:
        self._system = system
        self._most_characters = most_characters
        self._entries: list[Said | Answer] = []
        self._rest: list[str] = []

    # --- what happened ---

    def said(self, text: str, *, turn: int = 0) -> None:
        """The caller said something (``turn``: its number) or did something."""
        self._entries.append(Said(text, turn))
        self._trim()

    def new_answer(self) -> Answer:
        answer = Answer()
        self._entries.append(answer)
        return answer

    def reopened(self, turn: int) -> None:
        """The turn was not over: its words come again, with more."""
        self._entries = [e for e in self._entries if not (isinstance(e, Said) and turn and e.turn == turn)]

    def heard(self, text: str) -> None:
        """``text`` was played out, whole or cut off by something that is no interruption."""
        line = self._open_line(text)
        if line is not None:
            line.heard, line.is_settled = text, True
        elif text:  # ours all the same: a filler, an operator's words
            self._insert(Line(text, text, True))

    def interrupted(self, heard: str, unheard: str) -> None:
        """The caller took the floor after ``heard``; ``unheard`` and whatever else was given was not said."""
        line = self._open_line(f"{heard} {unheard}") or self._open_line(heard)
        self._rest = []
        if line is not None:
            line.heard, line.is_settled = heard, True
            self._rest.append(line.text)
        elif heard:
            self.heard(heard)
        for other in self._open_lines():
            other.is_settled = True
            self._rest.append(other.text)

    def result(self, request_id: str, value: Any, *, ok: bool) -> bool:
        """A tool's result; whether its call is known."""
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        for call in self._calls():
            if call.request_id == request_id:
                call.result = (text if ok else f"Error: {text}")[:MOST_RESULT_CHARACTERS]
                return True
        return False

    def take_rest(self) -> list[str]:
        """The texts that an interruption left unheard, from the one that was cut; once."""
        rest, self._rest = self._rest, []
        return rest

    def forget_rest(self) -> None:
        self._rest = []

    # --- questions ---

    @property
    def waits_for_results(self) -> bool:
        return any(call.result is None for call in self._calls())

    @property
    def has_untold_results(self) -> bool:
        return any(call.result is not None and not call.is_told for call in self._calls())

    def results_told(self) -> None:
        """A request with all results so far is being answered."""
        for call in self._calls():
            call.is_told = call.is_told or call.result is not None

    def messages(self, *, in_flight: bool = False, also: str = "") -> list[Message]:
        """For a request. ``also``: words of the caller that are not in the history yet.

        ``in_flight``: count what is on its way as heard; for an answer that is said behind it.
        """
        messages: list[Message] = [{"role": "system", "content": self._system}]
        for entry in self._entries:
            if isinstance(entry, Said):
                _add(messages, {"role": "user", "content": entry.text})
            else:
                _add_answer(messages, entry, entry.in_flight if in_flight else entry.heard)
        if also:
            _add(messages, {"role": "user", "content": also})
        if messages[-1]["role"] == "assistant" and len(messages) > 1:
            # Many endpoints continue a last assistant message instead of answering.
            messages.append({"role": "user", "content": RESULT_CAME})
        return messages

    # --- inside ---

    def _calls(self) -> list[Call]:
        return [call for entry in self._entries if isinstance(entry, Answer) for call in entry.calls]

    def _insert(self, line: Line) -> None:
        """Before what is still to be heard of the last answer."""
        last = self._entries[-1] if self._entries else None
        answer = last if isinstance(last, Answer) else self.new_answer()
        at = next((i for i, other in enumerate(answer.lines) if not other.is_settled), len(answer.lines))
        answer.lines.insert(at, line)

    def _open_lines(self) -> list[Line]:
        answers = (entry for entry in self._entries if isinstance(entry, Answer))
        return [line for answer in answers for line in answer.lines if not line.is_settled]

    def _open_line(self, text: str) -> Line | None:
        """The first line still to be heard that ``text`` is the beginning of, or that ``text`` begins with."""
        words = text.split()
        if not words:
            return None
        for line in self._open_lines():
            given = line.text.split()
            shorter = min(len(given), len(words))
            if given[:shorter] == words[:shorter]:
                return line
        return None

    def _trim(self) -> None:
        """Forget the oldest entries when there is too much; never the last ones, and never half of a tool call."""
        while len(self._entries) > 2 and sum(map(_size, self._entries)) > self._most_characters:
            oldest = self._entries[0]
            if isinstance(oldest, Answer) and any(call.result is None for call in oldest.calls):
                return
            del self._entries[0]


def _size(entry: Said | Answer) -> int:
    if isinstance(entry, Said):
        return len(entry.text)
    return len(entry.heard) + sum(len(call.arguments) + len(call.result or "") for call in entry.calls)


def _add(messages: list[Message], message: Message) -> None:
    """Messages of one role in a row become one: some templates insist on taking turns."""
    last = messages[-1]
    if last["role"] == message["role"] and "tool_calls" not in last:
        last["content"] = f"{last['content']} {message['content']}"
    else:
        messages.append(message)


def _add_answer(messages: list[Message], answer: Answer, text: str) -> None:
    if not answer.calls:
        if text:
            _add(messages, {"role": "assistant", "content": text})
        return
    messages.append({"role": "assistant", "content": text or None, "tool_calls": [_call(c) for c in answer.calls]})
    messages.extend(_results(answer.calls))


def _call(call: Call) -> Message:
    return {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _results(calls: Sequence[Call]) -> list[Message]:
    return [{"role": "tool", "tool_call_id": call.call_id, "content": _content(call)} for call in calls]


def _content(call: Call) -> str:
    """A result that is empty is a result all the same."""
    return PENDING if call.result is None else call.result or NOTHING
