"""Brain and Conversation: told what the caller said and what the caller has heard; answer with actions.

A brain does no I/O of its own on the caller's time: tools are actions, their results come back.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from agent.expectation import Expect


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """What a conversation knows when it opens."""

    call_id: str
    from_uri: str
    to_uri: str
    variables: dict[str, Any] = field(default_factory=dict)
    """Answer of ``call.incoming``."""
    language: str = "en-US"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A finished (or, for a preview, perhaps finished) turn of the caller."""

    turn: int
    words: tuple[str, ...]
    confidence: float
    """0..1; 0 with no words: the caller spoke and nothing was understood."""

    @property
    def text(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Say a text; streamed to the voice clause by clause."""

    text: str
    interruptible: bool = True
    """``False``: law or the author wants it heard whole: it is not cut by barge-in, or said again."""
    filler: bool = False
    """A filler ("one moment"): dropped when something better is ready before it starts."""
    aside: bool = False
    """A backchannel of ours: said in the pause that the caller is making, without taking the floor, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weave:
    """Have the model that speaks say a text in its own voice, when a phrase of its own is over. For its brain alone."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DropFillers:
    """What was said as a filler and has not started is not wanted any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetExpect:
    """What the caller may say next."""

    expect: Expect


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Ask a tool. The result comes by ``Conversation.tool_result`` under the same ``request_id``."""

    name: str
    arguments: dict[str, Any]
    request_id: str
    filler: str = ""
    """Said when no result came within 700 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Blind transfer to a target of the agent's list, after what is being said was heard."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDtmf:
    digits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hangup:
    """End the call after what is being said was heard."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A fact for the timeline and the record (``key`` a slug)."""

    key: str
    value: Any


Action = Say | Weave | DropFillers | SetExpect | Tool | Transfer | SendDtmf | Hangup | Note


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    request_id: str
    ok: bool
    value: Any
    """JSON value; the error text where not ``ok``."""


class Conversation(Protocol):
    """One call's dialogue. All methods are called by its session, one at a time, in the order things happened.

    Iterators may be closed early (the caller spoke on): a closed iterator must leave the conversation as if the
    rest had not been said. ``heard`` is the only truth about what the caller knows.
    """

    def opening(self) -> AsyncIterator[Action]:
        """First actions of the call: disclosure, greeting, first expectation."""
        ...

    def preview(self, turn: Turn) -> Sequence[Action] | None:
        """What ``turn`` would lead to, without any effect, or ``None`` if that cannot be known early."""
        ...

    def turn(self, turn: Turn) -> AsyncIterator[Action]:
        """The caller's turn is over."""
        ...

    def dtmf(self, digit: str) -> AsyncIterator[Action]:
        """A key was pressed."""
        ...

    def silence(self, seconds: float) -> AsyncIterator[Action]:
        """Nobody has spoken for a while and the caller is expected to."""
        ...

    def tool_result(self, result: ToolResult) -> AsyncIterator[Action]: ...

    def transfer_failed(self, status: int, reason: str) -> AsyncIterator[Action]: ...

    def heard(self, text: str, *, complete: bool) -> None:
        """``text`` of what was being said has been heard; ``complete`` if all of it."""
        ...

    def interrupted(self, heard: str, unheard: str) -> None:
        """The caller took the floor; ``unheard`` was not said to them."""
        ...

    def resume(self) -> Sequence[Action]:
        """After a false alarm, or a "go on": the unheard rest, from the clause that was cut; or nothing."""
        ...

    def reopened(self, turn: int) -> None:
        """The turn was not over after all: take back what answering it has changed (tools asked stay asked)."""
        ...


@runtime_checkable
class RemoteConversation(Conversation, Protocol):
    """A conversation whose answers are made somewhere else, take time and may come unasked.

    Optional: a dialogue that meets one uses these methods too. Its iterators wait for a server; one that is closed
    early (the caller spoke on) leaves an answer that ``go_on`` can pick up.
    """

    def partial(self, turn: Turn) -> None:
        """Words of a turn that goes on."""
        ...

    def speaking(self, text: str) -> None:
        """The first sample of ``text`` was played out."""
        ...

    def prepare(self, turn: Turn) -> AsyncIterator[Action]:
        """Begin the answer to ``turn``, which may not be over: asked instead of ``preview``.

        ``turn`` with the same words takes over what was begun and gives the same actions again from the first.
        """
        ...

    def forget_prepared(self) -> None:
        """The turn goes on, or was none: what was begun for it is not wanted."""
        ...

    def go_on(self) -> AsyncIterator[Action]:
        """As ``resume``, with what is still to come of the answer that was cut."""
        ...

    def unprompted(self) -> AsyncIterator[Action]:
        """What is to be done without anything having happened, for as long as the call lasts."""
        ...

    def close(self) -> None:
        """The call is over."""
        ...


@runtime_checkable
class FollowingConversation(Conversation, Protocol):
    """A conversation that follows the caller's words while they are said. Optional."""

    def impossible(self, turn: Turn) -> str:
        """Why ``turn``, which goes on, cannot become an answer any more: a slug; empty where it can.

        Without any effect. Where the floor ends the turn for it, ``turn`` is told next, with these words.
        """
        ...


@runtime_checkable
class SpokenConversation(Conversation, Protocol):
    """A conversation that a model leads by itself, with its own voice. Optional."""

    def asked_to_say(self, say: Say) -> Sequence[Action]:
        """What becomes of a text that somebody else wants said."""
        ...

    def said(self, text: str, *, heard: str) -> AsyncIterator[Action]:
        """A stretch of the model's own speech is over: ``heard`` of ``text`` was heard."""
        ...


async def nothing() -> AsyncGenerator[Action, None]:
    """No actions."""
    none: tuple[Action, ...] = ()
    for action in none:
        yield action


class Brain(Protocol):
    """A dialogue that many calls share."""

    @property
    def name(self) -> str: ...

    def open(self, call: CallFacts) -> Conversation: ...

    def fixed_phrases(self) -> Sequence[str]:
        """Texts that are said word for word in many calls, for the voice's cache."""
        ...
