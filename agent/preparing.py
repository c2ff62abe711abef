"""The answer to a turn that may be over: asked for and rendered early, forgotten when the turn goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast

from agent.brain.protocol import Action, Conversation, Hangup, RemoteConversation, Say, Tool, Transfer, Turn
from agent.mouth import Mouth
from agent.performing import Spawn
from agent.pool.messages import TurnPaused


class Preparing:
    """Owner of the task that asks a brain behind a server; a local brain is asked at once."""

    def __init__(self, conversation: Conversation, mouth: Mouth, *, spawn: Spawn) -> None:
        self._conversation = conversation
        self._remote = conversation if isinstance(conversation, RemoteConversation) else None
        self._mouth = mouth
        self._spawn = spawn
        self._task: asyncio.Task[None] | None = None

    def begin(self, paused: TurnPaused, turn: Turn) -> None:
        """Prepare the answer to ``turn``; the worker holds it until the turn ends as ``paused`` says."""
        if self._remote is not None:
            self.stop()
            self._mouth.forget_prepared()
            self._task = self._spawn(self._render(paused, self._remote.prepare(turn)))
            return
        says: list[Say] = []
        for action in self._conversation.preview(turn) or ():
            if _is_seen(action):
                break
            if isinstance(action, Say) and not action.filler:
                says.append(action)
        if says:
            self._mouth.prepare(paused.turn, paused.revision, says)

    def stop(self) -> None:
        """Render no more than there is."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def forget(self) -> None:
        """The answer is not wanted: its brain need not go on either."""
        self.stop()
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
                    self._mouth.prepare_more(paused.turn, paused.revision, action)
        finally:
            await stream.aclose()


def _is_seen(action: Action) -> bool:
    """It does something outside the call, which nobody can take back."""
    return isinstance(action, Tool | Transfer | Hangup)
