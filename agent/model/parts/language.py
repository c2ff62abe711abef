"""The language model of an utterance: what the dialogue expects, and how people talk. Pure but for one file.

A grammar of whole phrases has no place for a caller's own words: whoever says something else is forced into a phrase or
not heard at all. A model of which word follows which hears the sentence, and costs a third of the work.
"""

from __future__ import annotations

import lzma
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from importlib import resources
from math import sqrt
from typing import Final

from agent.expectation import Expect, ExpectKind
from agent.model.parts.completeness import NO_PATTERNS, YES_PATTERNS, is_readable
from agent.model.parts.grammar import RARE_FORMS
from agent.model.parts.ngram import Counts, added, arpa, count
from agent.model.parts.numbers import DIGITS
from agent.model.parts.patterns import Automaton, compile_patterns
from agent.model.parts.recogniser import Mode

MOST_FORMS: Final = 397
"""Of one pattern, taken evenly from all of them: it has thousands where many parts may be left out, and they say little
new. A prime, so that no part of a pattern is met at one of its words only."""
MOST_WORDS: Final = 12
"""Longer forms are left out."""
OFTEN: Final = 3
"""A word of the talk that is rarer is not listened for."""
TALK: Final = 10_000.0
"""Words that the talk counts for."""
EXPECTED: Final = 0.5
"""Share of what is expected in all that is said to a question …"""
IN_FREE_TALK: Final = 0.15
"""… and where anything may be said."""
POINTING: Final = 0.15
"""Share of single words that point to a wish (``Expect.words``), of what is expected."""
OPEN: Final = frozenset({ExpectKind.PHRASES, ExpectKind.FREE, ExpectKind.UNKNOWN})
Knows = Callable[[str], bool]
Weighted = tuple[Sequence[str], float]


def is_open(expect: Expect, mode: Mode) -> bool:
    """Whether the caller may answer in words of their own, into our silence."""
    return mode is Mode.ANSWER and expect.kind in OPEN


def model_of(expect: Expect, knows: Knows) -> str:
    """ARPA text. Words that ``knows`` does not know are left out with their forms."""
    expected = [(form, weight) for form, weight in _expected(expect) if all(map(knows, form))]
    share = EXPECTED if expect.kind is ExpectKind.PHRASES else IN_FREE_TALK
    return arpa(added(talk(), count(_scaled(expected, TALK * share / (1 - share)))))


def _scaled(said: Sequence[Weighted], words: float) -> Iterator[Weighted]:
    """Together so many words."""
    now = sum(len(form) * weight for form, weight in said)
    return ((form, weight * words / now) for form, weight in said)


def _expected(expect: Expect) -> list[Weighted]:
    found = [said for pattern in expect.phrases if is_readable(pattern) for said in forms(pattern)]
    if expect.also_yes_no or not found:
        found += [said for pattern in (*YES_PATTERNS, *NO_PATTERNS) for said in forms(pattern)]
    if expect.digits is not None:
        digits = [word for word in DIGITS if word not in RARE_FORMS]
        found += [((one, two), 0.1) for one in digits for two in digits]
    if expect.words:
        weight = POINTING * _weight(found) / len(expect.words)
        found += [((word,), weight) for word in expect.words]
    return found


def _weight(said: Sequence[Weighted]) -> float:
    return sum(weight for _, weight in said)


@lru_cache(maxsize=1024)
def forms(pattern: str) -> tuple[Weighted, ...]:
    """Ways to say a pattern. One with many forms counts more than one with few, but not so many times more."""
    every = list(_said(compile_patterns((pattern,))))
    found = every if len(every) <= MOST_FORMS else [every[at * len(every) // MOST_FORMS] for at in range(MOST_FORMS)]
    return tuple((form, 1 / sqrt(len(found))) for form in found)


def _said(automaton: Automaton) -> Iterator[tuple[str, ...]]:
    """What it accepts, the shortest first."""
    waiting: list[tuple[tuple[str, ...], frozenset[int]]] = [((), frozenset({0}))]
    for _ in range(MOST_WORDS + 1):
        longer = []
        for form, states in waiting:
            if form and automaton.accepts(states):
                yield form
            words = sorted({word for state in states for word in automaton.moves[state]})
            longer += [((*form, word), automaton.advance(states, word)) for word in words]
        waiting = longer


@lru_cache(maxsize=1)
def talk() -> Counts:
    """How people talk to a service, in counts that make ``TALK`` words."""
    packed = resources.files("agent.model.parts").joinpath("data/talk.txt.xz").read_bytes()
    lines = [line.split() for line in lzma.decompress(packed).decode("ascii").splitlines()]
    often = Counter(word for line in lines for word in line)
    kept = [tuple(word for word in line if often[word] >= OFTEN) for line in lines]
    counts = count(_scaled([(words, 1.0) for words in kept if words], TALK))
    least = min(counts[0].values())
    # Three words that came once only make half of the model, and say little.
    counts[-1] = {gram: n for gram, n in counts[-1].items() if n > 1.5 * least / OFTEN}
    return counts
