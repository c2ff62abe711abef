"""NativeBrain: a model that speaks leads the call by itself. It is told nothing and asked nothing.

What is left for a brain: the sentence that law wants at the beginning, said by a voice and not by the model; tools that
the model's own words ask for; and texts that others want said, which the model weaves in. Pure.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from agent.brain.protocol import (
    Action,
    CallFacts,
    Conversation,
    Note,
    Say,
    SetExpect,
    Tool,
    ToolResult,
    Turn,
    Weave,
    nothing,
)
from agent.brain.triggers import Trigger
from agent.expectation import Expect, ExpectKind

_FREE = SetExpect(expect=Expect(kind=ExpectKind.FREE))


class NativeBrain:
    """``disclosure``: said whole before anything else counts; empty: nothing is said for the model."""

    def __init__(self, *, disclosure: str, triggers: Sequence[Trigger] = ()) -> None:
        self._disclosure = disclosure
        self._triggers = tuple(triggers)

    @property
    def name(self) -> str:
        return "native"

    def open(self, call: CallFacts) -> Conversation:
        return _Native(self._disclosure, self._triggers)

    def fixed_phrases(self) -> list[str]:
        return [self._disclosure] if self._disclosure else []


class _Native:
    """Implements ``SpokenConversation``."""

    def __init__(self, disclosure: str, triggers: tuple[Trigger, ...]) -> None:
        self._disclosure = disclosure
        self._triggers = triggers
        self._asked: dict[str, Trigger] = {}
        self._count = 0

    async def opening(self) -> AsyncGenerator[Action, None]:
        yield _FREE
        if self._disclosure:
            yield Say(text=self._disclosure, interruptible=False)

    # --- the model's own speech ---

    async def said(self, text: str, *, heard: str) -> AsyncGenerator[Action, None]:
        for trigger in self._triggers:
            arguments = trigger.arguments(heard)
            if arguments is None or trigger in self._asked.values():
                continue
            self._count += 1
            request_id = f"tool-{self._count}"
            self._asked[request_id] = trigger
            yield Tool(name=trigger.tool, arguments=arguments, request_id=request_id)

    async def tool_result(self, result: ToolResult) -> AsyncGenerator[Action, None]:
        trigger = self._asked.pop(result.request_id, None)
        text = "" if trigger is None else trigger.answer(result.value, ok=result.ok)
        if text:
            yield Weave(text=text)

    def asked_to_say(self, say: Say) -> Sequence[Action]:
        """What must be heard whole is said by a voice: nobody can promise it of a model."""
        return (Weave(text=say.text),) if say.interruptible else (say,)

    # --- what the model answers by itself ---

    def preview(self, turn: Turn) -> Sequence[Action] | None:
        return None

    def turn(self, turn: Turn) -> AsyncGenerator[Action, None]:
        return nothing()

    async def dtmf(self, digit: str) -> AsyncGenerator[Action, None]:
        """A model that speaks hears no keys."""
        yield Note(key="key_unheard", value=digit)

    def silence(self, seconds: float) -> AsyncGenerator[Action, None]:
        return nothing()

    def transfer_failed(self, status: int, reason: str) -> AsyncGenerator[Action, None]:
        return nothing()

    def heard(self, text: str, *, complete: bool) -> None:
        """The model knows what it has said."""

    def interrupted(self, heard: str, unheard: str) -> None:
        """The scheduler has silenced the model inside in the same step."""

    def resume(self) -> Sequence[Action]:
        return ()

    def reopened(self, turn: int) -> None:
        pass
