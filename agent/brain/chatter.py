"""ChatterBrain: answers every turn with some sentence. For load tests; it understands nothing."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Sequence

from agent.brain.protocol import Action, CallFacts, Conversation, Say, SetExpect, ToolResult, Turn, nothing
from agent.expectation import Expect, ExpectKind

GREETING = "Hello, this is an automated assistant. Tell me anything, and I will answer."
SENTENCES = (
    "That is interesting, please tell me more about it.",
    "I see. Somebody else asked me the same thing this morning, and we found a good answer together.",
    "Thank you. The weather is fine here, the trains are running, and the parcels are on their way.",
    "Let me think about that for a moment. Yes, I believe that you are right.",
    "Good point. We are open from Monday to Friday, and on Saturday until noon.",
    "Of course. If you would like to know more, just go on, I am listening.",
)
_FREE = SetExpect(expect=Expect(kind=ExpectKind.FREE))


class ChatterBrain:
    """Every call hears the sentences in an order of its own, which its id decides."""

    @property
    def name(self) -> str:
        return "chatter"

    def open(self, call: CallFacts) -> Conversation:
        return _Chatter(zlib.crc32(call.call_id.encode()))

    def fixed_phrases(self) -> list[str]:
        return [GREETING, *SENTENCES]


class _Chatter:
    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._rest = ""

    async def opening(self) -> AsyncGenerator[Action, None]:
        yield _FREE
        yield Say(text=GREETING, interruptible=False)

    def preview(self, turn: Turn) -> Sequence[Action] | None:
        return (_FREE, Say(text=self._sentence(turn.turn)))

    async def turn(self, turn: Turn) -> AsyncGenerator[Action, None]:
        yield _FREE
        yield Say(text=self._sentence(turn.turn))

    async def dtmf(self, digit: str) -> AsyncGenerator[Action, None]:
        yield Say(text=self._sentence(ord(digit[0])))

    async def silence(self, seconds: float) -> AsyncGenerator[Action, None]:
        yield Say(text=self._sentence(round(seconds)))

    def tool_result(self, result: ToolResult) -> AsyncGenerator[Action, None]:
        """It asks no tools."""
        return nothing()

    def transfer_failed(self, status: int, reason: str) -> AsyncGenerator[Action, None]:
        """It transfers nobody."""
        return nothing()

    def heard(self, text: str, *, complete: bool) -> None:
        pass

    def interrupted(self, heard: str, unheard: str) -> None:
        self._rest = unheard

    def resume(self) -> Sequence[Action]:
        rest, self._rest = self._rest, ""
        return (Say(text=rest),) if rest else ()

    def reopened(self, turn: int) -> None:
        self._rest = ""

    def _sentence(self, number: int) -> str:
        return SENTENCES[(self._offset + number) % len(SENTENCES)]
