"""The search: log-probabilities of phones in, frame by frame; out come the best words of a graph and their times.

Exact (no beam): all states of all words are kept. The best path and the sum over all paths are carried side by side:
their ratio says how much of what was heard these words explain, given what else could have been said.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.model.small.words_graph import ANYTHING, Floats, Graph, Link, chain
from agent.model.small.words_phones import BLANK, LABELS

ANYTHING_COST: Final = 2.5
"""What a phone costs that belongs to no answer: less than a bad fit of one that does."""
FRAME_S: Final = 0.03
LATE_FRAMES: Final = 3
"""The net tells a phone about so much later than it is said: taken off word times."""
NEVER: Final = np.float32(-1e30)


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word and where in the utterance it was said, in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Found:
    """The best words so far."""

    words: tuple[HeardWord, ...]
    fit: float
    """Mean over the words of how far each is below what fits best there, in nats a phone; 0 is perfect."""
    worst: float
    """The same of the word that fits worst."""
    share: float
    """Logarithm of the share of these words in all that could have been said; 0: certain. When finished only."""
    cover: float
    """0..1: how much of the sounds that were heard belongs to these words, and not to anything around them."""

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(word.text for word in self.words)


NOTHING_FOUND: Final = Found((), 0.0, 0.0, 0.0, 0.0)


class Search:
    """One utterance on one graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._best = np.full(graph.states, NEVER, np.float32)
        self._best[graph.start] = 0.0
        self._room = np.empty(graph.states + graph.entries + 1, np.float32)
        self._room[-1] = NEVER
        self._choices: list[NDArray[np.uint8]] = []
        """By frame: what each state was reached from: 0 itself, 1 first, 2 second."""
        self._ended: list[Floats] = []
        """By frame: scores of the word ends before it."""
        self._frames: list[Floats] = []
        self._top: list[float] = []
        """By frame: the log-probability of what fits best."""
        self._sum = Sum(graph)

    def push(self, logp: Floats) -> None:
        """Frames ``[t, 40]`` of log-probabilities."""
        for frame in logp:
            wide = with_anything(frame)
            self._step(wide)
            self._sum.step(wide)
            self._frames.append(wide)
            self._top.append(float(frame.max()))

    def _step(self, wide: Floats) -> None:
        graph, room = self._graph, self._room
        ended = self._best[graph.ends]
        room[: graph.states] = self._best
        if graph.entries:
            room[graph.states : -1] = np.maximum.reduceat(ended[graph.entry_of], graph.entry_at)
        first = room[graph.first] + graph.first_cost
        second = room[graph.second] + graph.second_cost
        choice = (first > self._best).astype(np.uint8)
        best = np.maximum(self._best, first)
        choice[second > best] = 2
        self._best = np.maximum(np.maximum(best, second) + wide[graph.label], NEVER)
        self._choices.append(choice)
        self._ended.append(ended)

    def partial(self) -> Found:
        """What has been said whole so far."""
        return self._found(self._best)[0] if self._frames else NOTHING_FOUND

    def finish(self) -> Found:
        """The utterance is over."""
        if not self._frames:
            return NOTHING_FOUND
        found, links = self._found(self._best + self._graph.end_cost)
        alone = Sum(chain(links))
        for frame in self._frames:
            alone.step(frame)
        share = min(0.0, alone.total() - self._sum.total())
        return replace(found, share=share)

    def _found(self, scores: Floats) -> tuple[Found, list[Link]]:
        """The way back from the best state."""
        graph = self._graph
        state = int(np.argmax(scores))
        words: list[HeardWord] = []
        links: list[Link] = []
        sounding = 1 - np.exp(np.stack(self._frames)[:, BLANK])
        covered = 0.0
        fits: list[float] = []
        whole, last = bool(graph.ends_word[state]), 0
        below, sounds = 0.0, 0
        """Of the word in progress: how far it is below what fits best, and its frames that are no blanks."""
        for time in range(len(self._frames) - 1, -1, -1):
            frame, label = self._frames[time], int(graph.label[state])
            if label != ANYTHING:
                below += float(frame[label] - self._top[time])
            if not last and not graph.silent[state]:
                last = time + 1
            choice = self._choices[time][state]
            if choice == 0:
                continue
            sounds += label not in (BLANK, ANYTHING)
            source = int((graph.first if choice == 1 else graph.second)[state])
            if source < graph.states:
                state = source
                continue
            node, state = int(graph.node[state]), self._source(source - graph.states, time)
            word = graph.words[node]
            if whole and word:
                words.append(_timed(word, time, last))
                fits.append(below / max(1, sounds))
                covered += float(sounding[time:last].sum())
                links.append(Link(word, graph.costs[node], not graph.words[graph.node[state]]))
            whole, last, below, sounds = True, 0, 0.0, 0
        words.reverse()
        links.reverse()
        mean = float(np.mean(fits)) if fits else 0.0
        cover = min(1.0, covered / max(1e-3, float(sounding.sum())))
        return Found(tuple(words), mean, min(fits, default=0.0), 0.0, cover), links

    def _source(self, entry: int, time: int) -> int:
        """The word end that an entry was taken from."""
        graph = self._graph
        stop = graph.entry_at[entry + 1] if entry + 1 < graph.entries else len(graph.entry_of)
        among = graph.entry_of[graph.entry_at[entry] : stop]
        return int(graph.ends[among[np.argmax(self._ended[time][among])]])


class Sum:
    """Sum over all paths of a graph, in scaled probabilities."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._now = np.zeros(graph.states, np.float64)
        self._now[graph.start] = 1.0
        self._room = np.zeros(graph.states + graph.entries + 1, np.float64)
        self._log = 0.0
        self._first, self._second = np.exp(graph.first_cost), np.exp(graph.second_cost)

    def step(self, wide: Floats) -> None:
        """One frame ``[41]`` of log-probabilities."""
        graph, room = self._graph, self._room
        room[: graph.states] = self._now
        if graph.entries:
            room[graph.states : -1] = np.add.reduceat(self._now[graph.ends][graph.entry_of], graph.entry_at)
        now = self._now + room[graph.first] * self._first + room[graph.second] * self._second
        now *= np.exp(wide[graph.label])
        size = now.sum()
        if size <= 0:
            self._log = -np.inf
            return
        self._now = now / size
        self._log += float(np.log(size))

    def total(self) -> float:
        """Logarithm of the sum for an utterance that ends now."""
        return self._log + float(np.log(np.sum(self._now * np.exp(self._graph.end_cost)) + 1e-300))


def with_anything(logp: Floats) -> Floats:
    """A frame ``[40]`` with one more column: what it costs to be no part of an answer."""
    out = np.empty(LABELS + 1, np.float32)
    out[:LABELS] = logp
    out[ANYTHING] = -ANYTHING_COST * (1.0 - float(np.exp(logp[BLANK])))
    return out


def _timed(word: str, first: int, last: int) -> HeardWord:
    start = max(0, first - LATE_FRAMES) * FRAME_S
    return HeardWord(word, round(start, 3), round(max(start + FRAME_S, (last - LATE_FRAMES) * FRAME_S), 3))
