"""Our own recogniser for what a dialogue expects: the phone net with a search over the words that can be said.

Cheap (measured: 3 % of a core per talking caller) and narrow: words that are not expected are heard as "anything".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.expectation import Expect
from agent.model.parts.engine import NOTHING, Guess
from agent.model.parts.recogniser import Mode
from agent.model.small.words_align import CannotAlign, fit_of, fits_of
from agent.model.small.words_graph import Graph, graph_of
from agent.model.small.words_phones import LABELS, pronunciations
from agent.model.small.words_runtime import STEP, WEIGHTS, PhoneRuntime, located_words
from agent.model.small.words_search import Found, Search
from agent.model.small.words_sure import confidence

SURE: Final = 0.35
"""Final words below that are not told: to be asked again is better than to be misunderstood."""
MOST_STREAMS: Final = 64
"""Utterances at the same time, per process; 8 kB each beside their search."""
TAIL: Final = 8 * STEP
"""Silence behind an utterance: the net tells the last sounds a little later than they are said."""


def open_words() -> WordsEngine:
    """The engine with the weights that ship. Raises ``ModelError``."""
    return WordsEngine(located_words())


class WordsEngine:
    """All utterances of a process share one net."""

    def __init__(self, weights: Path = WEIGHTS) -> None:
        self._net = PhoneRuntime(weights, MOST_STREAMS)
        self._free = list(range(MOST_STREAMS))

    def open(self, expect: Expect, mode: Mode) -> WordsStream | None:
        if not self._free:
            return None
        row = self._free.pop()
        self._net.reset(np.array([row]))
        return WordsStream(self._net, row, self._free, graph_of(expect, mode))

    def foresee(self, expect: Expect, mode: Mode) -> None:
        graph_of(expect, mode)  # which is kept

    def prepare(self) -> bool:
        """Everything is there."""
        return False


class WordsStream:
    """One utterance on a row of the net that goes back to ``free`` afterwards."""

    def __init__(self, net: PhoneRuntime, row: int, free: list[int], graph: Graph) -> None:
        self._net, self._rows, self._free = net, np.array([row]), free
        self._search = Search(graph)
        self._rest = np.zeros(0, np.float32)
        self._told: list[NDArray[np.float32]] = []

    def feed(self, pcm: NDArray[np.int16]) -> None:
        line = np.concatenate((self._rest, pcm.astype(np.float32) / np.float32(32768)))
        whole = len(line) // STEP * STEP
        for at in range(0, whole, STEP):
            self._told.append(self._net.step(line[None, at : at + STEP], self._rows))
            self._search.push(self._told[-1])
        self._rest = line[whole:]

    def partial(self) -> Guess:
        return _guess(self._search.partial())

    def fit_of(self, words: Sequence[str]) -> float:
        """How well ``words`` and nothing else fit all that was heard, in nats a sound; 0 is perfect.

        Minus infinity where they cannot be laid along it.
        """
        try:
            return fit_of(
                np.concatenate(self._told or [np.zeros((0, LABELS), np.float32)]),
                [pronunciations(word) for word in words],
            )
        except CannotAlign:
            return -np.inf

    def fits_of(self, words: Sequence[str]) -> list[float]:
        """The same for each word; empty where they cannot be laid along what was heard."""
        try:
            return fits_of(
                np.concatenate(self._told or [np.zeros((0, LABELS), np.float32)]),
                [pronunciations(word) for word in words],
            )
        except CannotAlign:
            return []

    def found(self) -> Found:
        """The last word on it, with times; the stream is used up."""
        self.feed(np.zeros(TAIL, np.int16))
        found = self._search.finish()
        self.drop()
        return found

    def finish(self) -> Guess:
        guess = self.finish_unsure()
        return guess if guess.confidence >= SURE else NOTHING

    def finish_unsure(self) -> Guess:
        """As ``finish``, with words however unsure."""
        return _guess(self.found())

    def drop(self) -> None:
        self._free.append(int(self._rows[0]))


def _guess(found: Found) -> Guess:
    return Guess(found.texts, confidence(found)) if found.words else NOTHING
