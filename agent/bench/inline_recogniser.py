"""A recogniser inside the bench's own thread, in the time of its audio: a replay gives the same words on any machine.

The served recogniser's own code behind the same messages; only the process and its clock are left out. A hypothesis
is told ``LAG_STEPS`` after the audio that it is made of, as a live one comes on an idle core.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.expectation import Expect
from agent.model.parts.engine import Engine
from agent.model.parts.recogniser import Hypothesis, Mode
from agent.model.parts.recogniser_pool import GROUP_SAMPLES
from agent.model.parts.recogniser_process import Rows
from agent.model.parts.recogniser_wire import Kind, Message, hypothesis_of, start_message

LAG_STEPS: Final = 2
"""Polls, one a step of 20 ms."""


class InlineRecogniser:
    """See ``agent.model.parts.recogniser.Recogniser``."""

    gives_words = True
    is_late = False

    def __init__(self, engine: Engine) -> None:
        self._rows = Rows(engine)
        self._numbers = 0
        self._open: dict[int, int] = {}
        """Row to its utterance."""
        self._pending: dict[int, list[NDArray[np.int16]]] = {}
        self._polls = 0
        self._told: deque[tuple[int, Hypothesis]] = deque()
        """Poll at which it is told, and what."""

    def expect(self, row: int, expect: Expect) -> None:
        """Nothing waits in here."""

    def start(self, row: int, expect: Expect, mode: Mode) -> int:
        self._numbers += 1
        self._open[row], self._pending[row] = self._numbers, []
        self._handle(start_message(row, self._numbers, expect, mode))
        return self._numbers

    def feed(self, row: int, pcm: NDArray[np.int16]) -> None:
        if row not in self._open:
            return
        self._pending[row].append(pcm)
        if sum(map(len, self._pending[row])) >= GROUP_SAMPLES:
            self._flush(row)

    def stop(self, row: int) -> None:
        if row in self._open:
            self._flush(row)
            self._handle(Message(Kind.STOP, row, self._open.pop(row)))

    def cancel(self, row: int) -> None:
        if row in self._open:
            self._handle(Message(Kind.CANCEL, row, self._open.pop(row)))

    def release(self, row: int) -> None:
        self.cancel(row)

    def poll(self) -> Sequence[Hypothesis]:
        self._polls += 1
        found = []
        while self._told and self._told[0][0] <= self._polls:
            found.append(self._told.popleft()[1])
        return found

    def close(self) -> None:
        return

    def _flush(self, row: int) -> None:
        if self._pending[row]:
            pcm = np.concatenate(self._pending[row])
            self._pending[row] = []
            self._handle(Message(Kind.FEED, row, self._open[row], pcm.tobytes()))

    def _handle(self, message: Message) -> None:
        for answer in self._rows.handle(message):
            self._told.append((self._polls + LAG_STEPS, hypothesis_of(answer)))
