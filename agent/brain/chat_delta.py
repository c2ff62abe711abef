"""What a streamed chat completion says: the text, and tool calls put together from their fragments. Pure.

One event is ``chat.completion.chunk``: ``choices[0].delta.content``, ``choices[0].delta.tool_calls[]`` with ``index``,
``id``, ``function.name`` and ``function.arguments`` (the last two in pieces), ``choices[0].finish_reason``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

MOST_CALLS: Final = 8
MOST_ARGUMENT_CHARACTERS: Final = 16_384
DONE: Final = "[DONE]"


class BadDelta(ValueError):
    """An event that is no part of a chat completion."""


class AnswerFailed(ValueError):
    """The endpoint says that it failed."""


@dataclass(slots=True)
class Fragment:
    """A tool call as far as it has come."""

    call_id: str = ""
    name: str = ""
    arguments: str = ""


class DeltaReader:
    """Reads the events of one answer."""

    def __init__(self) -> None:
        self.is_done = False
        self.finish_reason = ""
        self._calls: dict[int, Fragment] = {}

    @property
    def calls(self) -> list[Fragment]:
        """The tool calls, whole once the answer is done, in the order of their index; nameless ones are left out."""
        return [self._calls[index] for index in sorted(self._calls) if self._calls[index].name]

    def read(self, event: str) -> str:
        """Text that this event adds. Raises ``BadDelta`` or ``AnswerFailed``."""
        if event.strip() == DONE:
            self.is_done = True
            return ""
        try:
            document = json.loads(event)
        except (ValueError, RecursionError):
            raise BadDelta("not JSON") from None
        if not isinstance(document, dict):
            raise BadDelta("not an object")
        if document.get("error"):
            raise AnswerFailed(_reason(document["error"]))
        choices = document.get("choices")
        if not isinstance(choices, list) or not choices:
            return ""  # a usage report, or the keep-alive of some servers
        return self._choice(choices[0])

    def _choice(self, choice: Any) -> str:
        if not isinstance(choice, dict):
            raise BadDelta("a choice that is no object")
        if isinstance(reason := choice.get("finish_reason"), str):
            self.finish_reason = reason
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return ""
        for part in delta.get("tool_calls") or ():
            self._fragment(part)
        content = delta.get("content")
        return content if isinstance(content, str) else ""

    def _fragment(self, part: Any) -> None:
        if not isinstance(part, dict):
            raise BadDelta("a tool call that is no object")
        index = part.get("index", 0)
        if not isinstance(index, int) or not 0 <= index < MOST_CALLS:
            raise BadDelta(f"more than {MOST_CALLS} tool calls")
        call, function = self._calls.setdefault(index, Fragment()), part.get("function")
        call.call_id = call.call_id or str(part.get("id") or "")
        if not isinstance(function, dict):
            return
        call.name += str(function.get("name") or "")
        arguments = function.get("arguments") or ""
        call.arguments += arguments if isinstance(arguments, str) else json.dumps(arguments)
        if len(call.arguments) > MOST_ARGUMENT_CHARACTERS or len(call.name) > 128:
            raise AnswerFailed("a tool call that does not end")


def _reason(error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return str(message)[:200]
