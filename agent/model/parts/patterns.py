"""Patterns of words: ``where is my ( parcel | package ) [ please ]``, compiled to automata and matched word by word.

The notation is the part of JSGF that expectations use: words, ``( a | b )`` choices, ``[ optional ]`` parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

_TOKEN = re.compile(r"[()\[\]|]|[^\s()\[\]|]+")
MAX_PATTERN_CHARS = 2000
MAX_DEPTH = 20


class PatternError(ValueError):
    """A pattern cannot be read; the message names the pattern and the fault."""


@dataclass(slots=True)
class Automaton:
    """Word automaton without empty moves: ``moves[state][word]`` is the set of next states. State 0 starts."""

    moves: list[dict[str, frozenset[int]]]
    accepting: frozenset[int]

    def advance(self, states: frozenset[int], word: str) -> frozenset[int]:
        found: set[int] = set()
        for state in states:
            found |= self.moves[state].get(word, frozenset())
        return frozenset(found)

    def accepts(self, states: frozenset[int]) -> bool:
        return bool(states & self.accepting)

    def can_go_on(self, states: frozenset[int]) -> bool:
        return any(self.moves[state] for state in states)


START = frozenset({0})


@dataclass(slots=True)
class _Builder:
    """Thompson's construction: states with word moves and empty moves."""

    words: list[list[tuple[str, int]]] = field(default_factory=list)
    empty: list[list[int]] = field(default_factory=list)

    def state(self) -> int:
        self.words.append([])
        self.empty.append([])
        return len(self.words) - 1


def tokenize(pattern: str) -> list[str]:
    if len(pattern) > MAX_PATTERN_CHARS:
        raise PatternError(f"pattern is longer than {MAX_PATTERN_CHARS} characters")
    return _TOKEN.findall(pattern.lower())


class _Parser:
    """alternatives = sequence { "|" sequence } ; sequence = { word | "(" alternatives ")" | "[" alternatives "]" }"""

    def __init__(self, pattern: str, builder: _Builder) -> None:
        self._pattern = pattern
        self._tokens = tokenize(pattern)
        self._at = 0
        self._depth = 0
        self._builder = builder

    def parse(self, start: int) -> int:
        end = self._alternatives(start)
        if self._at < len(self._tokens):
            raise PatternError(f"pattern {self._pattern!r}: {self._tokens[self._at]!r} closes nothing")
        return end

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _alternatives(self, start: int) -> int:
        end = self._builder.state()
        while True:
            self._builder.empty[self._sequence(start)].append(end)
            if self._peek() != "|":
                return end
            self._at += 1

    def _sequence(self, start: int) -> int:
        state = self._builder.state()
        self._builder.empty[start].append(state)
        while (token := self._peek()) is not None and token not in ")]|":
            self._at += 1
            if token in "([":
                state = self._group(state, token)
            else:
                following = self._builder.state()
                self._builder.words[state].append((token, following))
                state = following
        return state

    def _group(self, start: int, opening: str) -> int:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise PatternError(f"pattern {self._pattern!r}: more than {MAX_DEPTH} brackets deep")
        end = self._alternatives(start)
        closing = ")" if opening == "(" else "]"
        if self._peek() != closing:
            raise PatternError(f"pattern {self._pattern!r}: {opening!r} without {closing!r}")
        self._at += 1
        self._depth -= 1
        if opening == "[":
            self._builder.empty[start].append(end)
        return end


@lru_cache(maxsize=512)
def compile_patterns(patterns: tuple[str, ...]) -> Automaton:
    """One automaton that accepts every pattern. Raises ``PatternError``."""
    builder = _Builder()
    start = builder.state()
    ends = {_Parser(pattern, builder).parse(start) for pattern in patterns}
    reach = [_closure(builder, state) for state in range(len(builder.words))]
    moves: list[dict[str, frozenset[int]]] = []
    for state in range(len(builder.words)):
        table: dict[str, set[int]] = {}
        for member in reach[state]:
            for word, following in builder.words[member]:
                table.setdefault(word, set()).add(following)
        moves.append({word: frozenset(targets) for word, targets in table.items()})
    accepting = frozenset(state for state in range(len(moves)) if reach[state] & ends)
    return Automaton(moves=moves, accepting=accepting)


def _closure(builder: _Builder, state: int) -> set[int]:
    seen, todo = {state}, [state]
    while todo:
        for following in builder.empty[todo.pop()]:
            if following not in seen:
                seen.add(following)
                todo.append(following)
    return seen


@dataclass(frozen=True, slots=True)
class Found:
    """How words stand to an automaton that may begin at any of them."""

    complete: bool
    """The last words are a whole pattern."""
    unfinished: bool
    """The last words are the beginning of a pattern that could go on."""
    passed: bool
    """A whole pattern was said somewhere, other words may follow it."""
    begun: bool
    """All words together are the beginning of a pattern that could go on."""


def search(automaton: Automaton, words: Sequence[str]) -> Found:
    """Match ``automaton`` against any stretch of ``words`` that ends at the last one."""
    states: frozenset[int] = frozenset()
    from_first = START
    passed = False
    for word in words:
        states = automaton.advance(states | START, word)
        from_first = automaton.advance(from_first, word)
        passed = passed or automaton.accepts(states)
    return Found(
        complete=automaton.accepts(states),
        unfinished=bool(states) and automaton.can_go_on(states),
        passed=passed,
        begun=bool(words) and bool(from_first) and automaton.can_go_on(from_first),
    )


def vocabulary(patterns: Iterable[str]) -> set[str]:
    """Every word of the patterns."""
    return {token for pattern in patterns for token in tokenize(pattern) if token not in "()[]|"}
