"""The answer to a turn that may be over: asked for and rendered early, forgotten when the turn goes on.

The timeline tells each answer that was prepared and what became of it: said, or thrown away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast

from agent.brain.protocol import Action, Conversation, Hangup, RemoteConversation, Say, Tool, Transfer, Turn
from agent.facts import Teller
from agent.mouth import Mouth
from agent.performing import Spawn
from agent.pool.messages import TurnPaused


class Preparing:
    """Owner of the task that asks a brain behind a server; a local brain is asked at once."""

    def __init__(
        self, conversation: Conversation, mouth: Mouth, teller: Teller, *, spawn: Spawn, is_on: bool = True
    ) -> None:
        """``is_on``: whether anything is prepared at all."""
        self._conversation = conversation
        self._remote = conversation if isinstance(conversation, RemoteConversation) else None
        self._mouth = mouth
        self._teller = teller
        self._spawn = spawn
        self._is_on = is_on
        self._text = ""
        """Of the answer that is prepared; empty: there is none."""
        self._task: asyncio.Task[None] | None = None

    def begin(self, paused: TurnPaused, turn: Turn) -> None:
        """Prepare the answer to ``turn``; the worker holds it until the turn ends as ``paused`` says."""
        if not self._is_on:
            return
        if self._remote is not None:
            self.stop()
            self._mouth.forget_prepared()
            self._now("", at=paused.at)
            self._task = self._spawn(self._render(paused, self._remote.prepare(turn)))
            return
        says: list[Say] = []
        for action in self._conversation.preview(turn) or ():
            if _is_seen(action):
                break
            if isinstance(action, Say) and not action.filler:
                says.append(action)
        self._now(" ".join(say.text for say in says), at=paused.at)
        if says:
            self._mouth.prepare(paused.turn, paused.revision, says)

    def ended(self, *, used: bool, at: int) -> None:
        """The turn is over, and the answer to it is the one that was prepared, or another."""
        self.stop()
        if used:
            self._tell("used", at)
        else:
            self._now("", at=at)

    def stop(self) -> None:
        """Render no more than there is."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def forget(self, *, at: int | None = None) -> None:
        """The answer is not wanted: its brain need not go on either."""
        self.stop()
        self._now("", at=at)
        if self._remote is not None:
            self._remote.forget_prepared()

    async def _render(self, paused: TurnPaused, actions: AsyncIterator[Action]) -> None:
        """Render an answer as it comes, up to its first action that can be seen from outside."""
        stream = cast("AsyncGenerator[Action, None]", actions)
        try:
            async for action in stream:
                if _is_seen(action):
                    return
                if isinstance(action, Say) and not action.filler:
                    if not self._text:
                        self._now(action.text, at=None)
                    self._mouth.prepare_more(paused.turn, paused.revision, action)
        finally:
            await stream.aclose()

    def _now(self, text: str, *, at: int | None) -> None:
        """``text`` is prepared now, and nothing else. The same again is no news."""
        if text == self._text:
            return
        if self._text:
            self._tell("dropped", at)
        if text:
            self._text = text
            self._teller.note("prepared", at=at, phase="begun", text=text)

    def _tell(self, phase: str, at: int | None) -> None:
        if self._text:
            self._teller.note("prepared", at=at, phase=phase, text=self._text)
        self._text = ""


def _is_seen(action: Action) -> bool:
    """It does something outside the call, which nobody can take back."""
    return isinstance(action, Tool | Transfer | Hangup)
