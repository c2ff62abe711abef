"""A network of words as arrays over its sounds, for a search that does a frame in some ten vector operations. Pure.

Each way to say a word is a chain of states: its phones, behind every one a blank that may be left out (the topology of
connectionist temporal classification). Between two words equal phones may be one: "six seven" is said with one long s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.expectation import Expect
from agent.model.parts.recogniser import Mode
from agent.model.small.words_network import BEFORE, BEHIND, Network, network
from agent.model.small.words_phones import BLANK, LABELS, pronunciations

ANYTHING: Final = LABELS
"""Label of the states that are anything."""
MIDDLE_COST: Final = -3.0
"""An utterance that ends inside a word."""
NEVER_COST: Final = -100.0
NONE, ENTRY = -1, -2
"""Sources that are no state: nothing, and what leads to the node."""
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """``S`` states, ``E`` entries (each the best of some word ends), one pad that is never reached.

    ``first`` and ``second`` index ``[states | entries | pad]``: what a state can be reached from besides itself.
    """

    label: Ints
    """``[S]`` column of a frame's scores."""
    first: Ints
    second: Ints
    first_cost: Floats
    second_cost: Floats
    ends: Ints
    """``[N]`` states at which words (or anything) end."""
    entry_of: Ints
    """Indices into ``ends``, entry by entry."""
    entry_at: Ints
    """Where each entry begins in ``entry_of``."""
    node: Ints
    """``[S]`` node of the network that a state belongs to."""
    ends_word: NDArray[np.bool_]
    """``[S]`` its word has been said whole."""
    silent: NDArray[np.bool_]
    """``[S]`` the blank behind a word."""
    end_cost: Floats
    """``[S]`` for an utterance that ends there."""
    start: int
    words: tuple[str, ...]
    """By node."""
    costs: tuple[float, ...]
    """Of entering each node."""

    @property
    def states(self) -> int:
        return len(self.label)

    @property
    def entries(self) -> int:
        return len(self.entry_at)


@lru_cache(maxsize=32)
def graph_of(expect: Expect, mode: Mode) -> Graph:
    """The graph for an utterance; kept, for the next one that expects the same."""
    return build(network(expect, mode))


@dataclass(frozen=True, slots=True)
class Link:
    """A word of a path through a graph."""

    word: str
    cost: float
    apart: bool
    """Something that is no part of an answer lies between it and the word before."""


def chain(links: Sequence[Link]) -> Graph:
    """Exactly these words, with anything before and behind: what a hypothesis is weighed by."""
    found = Network()
    node = BEFORE
    for link in links:
        if link.apart and node != BEFORE:
            node = found.add("", (node,))
        node = found.add(link.word, (node,), cost=link.cost, end=0.0)
    if links:
        found.sources[BEHIND].add(node)
        found.ends[BEFORE] = NEVER_COST
    return build(found)


def build(found: Network) -> Graph:
    """Arrays of a network."""
    maker = _Maker(found)
    return maker.graph()


class _Maker:
    """States are numbered node by node, so that all chains are known before entries are."""

    def __init__(self, found: Network) -> None:
        self._network = found
        self._label: list[int] = []
        self._node: list[int] = []
        self._own: list[tuple[int, int]] = []
        """Sources within a chain: first and second."""
        self._silent: list[int] = []
        self._last: list[list[int]] = []
        """By node: states at which it ends."""
        for node in range(len(found.words)):
            self._last.append(self._states(node))

    def _states(self, node: int) -> list[int]:
        word = self._network.words[node]
        if not word:
            return [self._state(ANYTHING, node, ENTRY, NONE)]
        last = []
        for sounds in pronunciations(word):
            before, skips = ENTRY, NONE
            for at, sound in enumerate(sounds):
                phone = self._state(sound, node, before, skips)
                before = self._state(BLANK, node, phone, NONE)
                repeated = at + 1 < len(sounds) and sounds[at + 1] == sound
                skips = NONE if repeated else phone
            self._silent.append(before)
            last += [phone, before]
        return last

    def _state(self, label: int, node: int, first: int, second: int) -> int:
        self._label.append(label)
        self._node.append(node)
        self._own.append((first, second))
        return len(self._label) - 1

    def graph(self) -> Graph:
        found, count = self._network, len(self._label)
        ends = sorted({state for states in self._last for state in states})
        place = {state: at for at, state in enumerate(ends)}
        entries: dict[frozenset[int], int] = {}
        entry_of_node = []
        for sources in found.sources:
            states = frozenset(place[state] for node in sources for state in self._last[node])
            entry_of_node.append(entries.setdefault(states, len(entries)) if states else -1)
        pad = count + len(entries)
        first, second = np.full(count, pad), np.full(count, pad)
        first_cost, second_cost = np.zeros(count, np.float32), np.zeros(count, np.float32)
        for state, own in enumerate(self._own):
            node = self._node[state]
            for column, costs, source in ((first, first_cost, own[0]), (second, second_cost, own[1])):
                if source >= 0:
                    column[state] = source
                elif source == ENTRY and entry_of_node[node] >= 0:
                    column[state] = count + entry_of_node[node]
                    costs[state] = found.costs[node]
        ends_word = np.zeros(count, np.bool_)
        ends_word[ends] = True
        silent = np.zeros(count, np.bool_)
        silent[self._silent] = True
        order = sorted(entries, key=lambda states: entries[states])
        return Graph(
            label=np.array(self._label),
            first=first,
            second=second,
            first_cost=first_cost,
            second_cost=second_cost,
            ends=np.array(ends),
            entry_of=np.array([state for states in order for state in sorted(states)], np.int64),
            entry_at=np.cumsum([0, *(len(states) for states in order)])[: len(order)].astype(np.int64),
            node=np.array(self._node),
            ends_word=ends_word,
            silent=silent,
            end_cost=self._end_costs(ends_word),
            start=self._last[0][0],
            words=tuple(found.words),
            costs=tuple(found.costs),
        )

    def _end_costs(self, ends_word: NDArray[np.bool_]) -> Floats:
        """Behind a word what its node says; inside one it is dear."""
        costs = np.full(len(self._label), MIDDLE_COST, np.float32)
        costs[ends_word] = [self._network.ends[self._node[state]] for state in np.flatnonzero(ends_word)]
        return costs
