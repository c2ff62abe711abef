"""What a conversation answers, performed: streams of actions, one after the other, and which of them is the answer.

The order in which streams were begun is the order of what is said. One of them is the answer to the caller's last
turn or key: whoever speaks on takes that one back and no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, cast

from agent.brain.protocol import Action
from agent.mouth import Mouth, Utterance

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
Do = Callable[[Action, list[Utterance]], None]
"""Carries one action out; the list holds the utterances that were rendered for this stream before it began."""


class Performing:
    """Owner of the streams that run and of the tasks that they run in."""

    def __init__(self, do: Do, mouth: Mouth, *, spawn: Spawn, on_done: Callable[[], None]) -> None:
        """``on_done``: called when a stream has come to its end, or has brought something unasked."""
        self._do = do
        self._mouth = mouth
        self._spawn = spawn
        self._on_done = on_done
        self._order = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()
        self._answer: asyncio.Task[None] | None = None
        self._answers_from = 0
        """Number of the first utterance of the answer."""

    @property
    def is_idle(self) -> bool:
        return not self._running

    @property
    def is_answering(self) -> bool:
        """The answer to an earlier turn is still being made."""
        return self._answer is not None and not self._answer.done()

    def perform(self, actions: AsyncIterator[Action], prepared: list[Utterance] | None = None) -> asyncio.Task[None]:
        """Do what the stream says, after those that were begun before it."""
        task = self._spawn(self._run(actions, prepared or []))
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def answer(self, actions: AsyncIterator[Action], prepared: list[Utterance] | None = None) -> None:
        """As ``perform``: this is the answer to the caller's last turn or key, or its rest."""
        self._answer = self.perform(actions, prepared)

    def listen(self, actions: AsyncIterator[Action]) -> None:
        """Do what comes unasked, between the answers."""
        self._spawn(self._listen(actions))

    def stop_answering(self) -> None:
        """The caller spoke on: an answer still being made is for words that are not the last."""
        if self._answer is not None and not self._answer.done():
            self._answer.cancel()
            self._mouth.take_back(self._answers_from)
        self._answer = None
        self._answers_from = self._mouth.next_number

    def cancel(self, *, keep_answer: bool = False) -> None:
        """Go on with nothing that runs, or with the answer alone."""
        for task in self._running:
            if not (keep_answer and task is self._answer):
                task.cancel()

    def drop(self, prepared: list[Utterance]) -> None:
        """Say none of these after all."""
        for utterance in prepared:
            self._mouth.drop_said(utterance)
        prepared.clear()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is None:
            self._on_done()

    async def _run(self, actions: AsyncIterator[Action], prepared: list[Utterance]) -> None:
        stream = cast("AsyncGenerator[Action, None]", actions)
        try:
            async with self._order:
                async for action in stream:
                    self._do(action, prepared)
                self.drop(prepared)
        finally:
            await stream.aclose()

    async def _listen(self, actions: AsyncIterator[Action]) -> None:
        stream = cast("AsyncGenerator[Action, None]", actions)
        try:
            async for action in stream:
                async with self._order:
                    self._do(action, [])
                self._on_done()
        finally:
            await stream.aclose()
