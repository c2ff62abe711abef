"""What can be said here, as a network of words: what the brain expects, and a way round it for everything else. Pure.

Every word is a node; whatever may come before it are its sources. Two nodes are no words but *anything*: speech, noise
or silence that is none of the answers. Before, between and behind answers it costs little, so that no sound has to be
an answer; inside an answer it is not possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from agent.backchannels import HEARD_PHRASES
from agent.expectation import Expect, ExpectKind
from agent.model.parts.completeness import DATE_PATTERNS, NO_PATTERNS, YES_PATTERNS, is_readable
from agent.model.parts.grammar import TAKING_WORDS, split_alternatives
from agent.model.parts.numbers import DIGITS
from agent.model.parts.patterns import compile_patterns, vocabulary
from agent.model.parts.recogniser import Mode
from agent.model.small.words_phones import knows

BEFORE, BEHIND = 0, 1
"""The two nodes that are anything: where all begins, and behind a number."""
RARE: Final = frozenset({"o", "nought"})
MOST_DIGITS: Final = 20
LUHN: Final = "luhn"
DOUBLE_COST: Final = -1.0
OH_COST: Final = -1.5
"""Fewer say "oh" than any other figure, and "one" and "four" sound like it: strings of 8 with a check digit
that were accepted wrong 4.0 -> 2.7 %, people's 3.3 -> 1.7, at no more asked again but 2.5 of 100 of people's."""
CORRECTION_COST: Final = -4.0
OVER_COST: Final = -4.0
"""One digit more than is wanted, where that is worth hearing (``Expect.over``)."""
START_COST: Final = -1.5
"""For an answer that begins: speech that is none has sounds of one here and there."""
LOOSE_COST: Final = -3.0
"""For each of a dialogue's words that is said outside of its phrases."""
UNFINISHED_COST: Final = -1.0
SHORT_COST: Final = -0.5
"""A number with digits still to come: callers pause in it."""
WRONG_CHECK_COST: Final = -2.5
CORRECTIONS: Final = ("no", "sorry", "no sorry", "i mean")


@dataclass(slots=True)
class Network:
    """Nodes ``0`` and ``1`` are anything; the others are words."""

    words: list[str] = field(default_factory=lambda: ["", ""])
    sources: list[set[int]] = field(default_factory=lambda: [set(), set()])
    costs: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Logarithm of how likely a node is to be entered, by itself."""
    ends: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """The same for an utterance that ends behind this node."""

    def add(self, word: str, sources: Iterable[int], *, cost: float = 0.0, end: float = UNFINISHED_COST) -> int:
        """A node; returns its number."""
        self.words.append(word)
        self.sources.append(set(sources))
        self.costs.append(cost)
        self.ends.append(end)
        return len(self.words) - 1

    def complete(self, node: int) -> None:
        """An answer ends with ``node``; anything may follow."""
        self.ends[node] = 0.0
        self.sources[BEFORE].add(node)


@lru_cache(maxsize=64)
def network(expect: Expect, mode: Mode) -> Network:
    """The network for an utterance. Words that nobody knows how to say cost their own alternatives only."""
    found = Network()
    if expect.kind is ExpectKind.DIGITS or expect.digits is not None:
        _number(found, expect.digits, expect.check, over=expect.over)
    _patterns(found, _answers(expect, mode))
    phrases = _known(pattern for pattern in expect.phrases if is_readable(pattern))
    _patterns(found, phrases)
    _loose(found, sorted(vocabulary(phrases)))
    return found


def _answers(expect: Expect, mode: Mode) -> list[str]:
    nothing = not (expect.phrases or expect.also_yes_no or expect.digits is not None)
    wanted: list[str] = []
    unasked = mode is Mode.ANSWER and nothing and expect.kind in (ExpectKind.UNKNOWN, ExpectKind.FREE)
    if expect.kind is ExpectKind.YES_NO or expect.also_yes_no or unasked:
        wanted += (*YES_PATTERNS, *NO_PATTERNS)
    if expect.kind is ExpectKind.DATE:
        wanted += DATE_PATTERNS
    if mode is Mode.OVERLAP:
        wanted += (*TAKING_WORDS, *HEARD_PHRASES)
    return _known(wanted)


def _known(patterns: Iterable[str]) -> list[str]:
    return [
        alternative
        for pattern in patterns
        for alternative in split_alternatives(pattern)
        if all(map(knows, vocabulary([alternative])))
    ]


def _patterns(found: Network, patterns: Sequence[str]) -> None:
    """Patterns as nodes: a state of their automaton is entered by one word only, and so is a node."""
    if not patterns:
        return
    automaton = compile_patterns(tuple(patterns))
    words: dict[int, str] = {}
    sources: dict[int, set[int]] = {}
    todo, seen = [0], {0}
    while todo:
        state = todo.pop()
        for word, targets in automaton.moves[state].items():
            for target in targets:
                words[target] = word
                sources.setdefault(target, set()).add(state)
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
    nodes = {state: found.add(word, ()) for state, word in sorted(words.items())}
    for state, node in nodes.items():
        if 0 in sources[state]:
            found.costs[node] = START_COST
        for source in sources[state]:
            found.sources[node] |= {BEFORE, BEHIND} if source == 0 else {nodes[source]}
        if state in automaton.accepting:
            found.complete(node)


def _loose(found: Network, words: Sequence[str]) -> None:
    """The words of the phrases in any order: what a caller says in his own way holds some of them."""
    nodes = [found.add(word, (BEFORE, BEHIND), cost=LOOSE_COST) for word in words]
    for node in nodes:
        found.sources[node] |= set(nodes)
        found.complete(node)


def _number(found: Network, count: int | None, check: str | None, *, over: bool = False) -> None:
    """Digits, "double", and a correction that begins the number anew."""
    if count is not None and not 0 < count <= MOST_DIGITS:
        count = None
    summed = check == LUHN and count is not None
    digits = {word: int(value) for word, value in DIGITS.items() if word not in RARE}
    start = (0, 0)
    arrived: dict[tuple[int, int], set[int]] = {start: {BEFORE}}
    everything: list[int] = []
    places = [(place, rest) for place in range(count or 1) for rest in range(10 if summed and place else 1)]
    waiting: list[tuple[tuple[int, int], int]] = []
    """Nodes that are entered from a place: their sources are known when all is built."""
    for place in places:
        double = found.add("double", (), cost=DOUBLE_COST) if count is None or place[0] + 2 <= count else None
        if double is not None:
            waiting.append((place, double))
        for word, value in digits.items():
            for times, source in ((1, None), (2, double)):
                if times == 2 and source is None:
                    continue
                after = _after(place, value, times, count, summed)
                node = found.add(word, () if source is None else (source,), cost=OH_COST if word == "oh" else 0.0)
                if source is None:
                    waiting.append((place, node))
                arrived.setdefault(after, set()).add(node)
                everything.append(node)
                found.ends[node] = _end_cost(after, count, summed)
    for place, node in waiting:
        found.sources[node] |= arrived.get(place, set())
        if place == start and count is not None:
            found.costs[node] += START_COST
    if over and count is not None:
        whole = {node for place, nodes in arrived.items() if place[0] == count for node in nodes}
        everything += [found.add(word, whole, cost=OVER_COST, end=0.0) for word in digits]
    _corrections(found, everything, [node for place, node in waiting if place == start])
    for cost in sorted({found.ends[node] for node in everything}):
        # Behind a number that is not whole comes silence too, but the number stays as unlikely as it is.
        behind = BEHIND if cost == 0 else found.add("", (), cost=cost, end=0.0)
        found.sources[behind] |= {node for node in everything if found.ends[node] == cost}


def _after(place: tuple[int, int], value: int, times: int, count: int | None, summed: bool) -> tuple[int, int]:
    """Where ``times`` equal digits lead: digits said, and Luhn's sum of them modulo 10."""
    if count is None:
        return (0, 0)
    said, rest = place
    for _ in range(times):
        if summed:
            doubled = (count - said) % 2 == 0
            part = value * 2 if doubled else value
            rest = (rest + (part - 9 if part > 9 else part)) % 10
        said += 1
    return (said, rest)


def _end_cost(place: tuple[int, int], count: int | None, summed: bool) -> float:
    if count is None:
        return 0.0
    if place[0] < count:
        return SHORT_COST
    return WRONG_CHECK_COST if summed and place[1] else 0.0


def _corrections(found: Network, digits: Sequence[int], first: Sequence[int]) -> None:
    for words in CORRECTIONS:
        sources: Iterable[int] = digits
        node = BEFORE
        for at, word in enumerate(words.split()):
            node = found.add(word, sources, cost=CORRECTION_COST if at == 0 else 0.0)
            sources = (node,)
        for digit in first:
            found.sources[digit].add(node)
