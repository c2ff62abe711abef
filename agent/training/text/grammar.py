"""A small grammar for sayings: alternatives, choices, optional parts and references, drawn at random.

    greeting = hello | hi [ there ] | good ( morning | evening )
    ask = {greeting} where is my {thing}

One rule a line; a line that begins with ``|`` goes on with the alternatives of the rule before; ``#`` begins a comment.
Everything else is words, commas and marks. ``{name}`` may also be a function of the random generator (numbers, codes).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

import numpy as np

from agent.training.errors import TrainingError

Draw = Callable[[np.random.Generator], str]
OPTIONAL: Final = 0.4
"""Chance that an optional part is said."""
_TOKEN = re.compile(r"\{[a-z0-9_]+\}|[()|\[\]]|[^\s()|\[\]{}]+")


@dataclass(frozen=True, slots=True)
class Words:
    """Plain words."""

    text: str


@dataclass(frozen=True, slots=True)
class Reference:
    """``{name}``."""

    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several sequences; an empty sequence among them says nothing."""

    options: tuple[tuple[Words | Reference | Choice, ...], ...]
    optional: bool = False


Node = Words | Reference | Choice
Rules = Mapping[str, Choice]


class Grammar:
    """Rules by name, and functions that rules may name."""

    def __init__(self, rules: Rules, functions: Mapping[str, Draw] | None = None) -> None:
        self._rules, self._functions = dict(rules), dict(functions or {})
        known = {*self._rules, *self._functions}
        for name, rule in self._rules.items():
            missing = _references(rule) - known
            if missing:
                raise TrainingError(f"grammar rule {name!r} names {', '.join(sorted(missing))}, which no rule defines")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._rules)

    def draw(self, name: str, rng: np.random.Generator, given: Mapping[str, Draw] | None = None) -> str:
        """One saying of rule ``name``, single spaces, no space before a comma; ``given`` stands in for functions."""
        if name not in self._rules and name not in self._functions:
            raise TrainingError(f"no grammar rule {name!r}")
        functions = {**self._functions, **given} if given else self._functions
        said = " ".join(self._say(Reference(name), rng, functions).split())
        return said.replace(" ,", ",").strip(" ,")

    def forms(self, name: str) -> int:
        """How many different forms rule ``name`` has; a function counts as one."""
        return self._count(self._rules[name], frozenset({name}))

    def alternatives(self, name: str) -> int:
        """How many alternatives rule ``name`` lists."""
        return len(self._rules[name].options)

    def _say(self, node: Node, rng: np.random.Generator, functions: Mapping[str, Draw]) -> str:
        if isinstance(node, Words):
            return node.text
        if isinstance(node, Reference):
            if node.name in functions:
                return functions[node.name](rng)
            return self._say(self._rules[node.name], rng, functions)
        if node.optional and rng.random() >= OPTIONAL:
            return ""
        sequence = node.options[int(rng.integers(len(node.options)))]
        return " ".join(self._say(part, rng, functions) for part in sequence)

    def _count(self, node: Node, inside: frozenset[str]) -> int:
        if isinstance(node, Words):
            return 1
        if isinstance(node, Reference):
            if node.name in self._functions:
                return 1
            if node.name in inside:
                raise TrainingError(f"grammar rule {node.name!r} contains itself")
            return self._count(self._rules[node.name], inside | {node.name})
        total = 0
        for sequence in node.options:
            product = 1
            for part in sequence:
                product *= self._count(part, inside)
            total += product
        return total + node.optional


def load(name: str) -> dict[str, Choice]:
    """The rules of ``data/<name>.txt``. Raises ``TrainingError`` with the line."""
    text = resources.files("agent.training.text").joinpath(f"data/{name}.txt").read_text(encoding="utf-8")
    return parse(text, name)


def parse(text: str, source: str = "grammar") -> dict[str, Choice]:
    """Rules of a grammar. Raises ``TrainingError`` with the line."""
    rules: dict[str, list[tuple[Node, ...]]] = {}
    current = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        where = f"{source}:{number}"
        if line.startswith("|"):
            if not current:
                raise TrainingError(f"{where}: an alternative without a rule before it")
            body = line[1:]
        else:
            current, equals, body = (part.strip() for part in line.partition("="))
            if not equals or not re.fullmatch(r"[a-z0-9_]+", current):
                raise TrainingError(f"{where}: wanted `name = words`, got {line!r}")
            if current in rules:
                raise TrainingError(f"{where}: rule {current!r} is defined twice")
        rules.setdefault(current, []).extend(_options(body, where))
    return {name: Choice(tuple(options)) for name, options in rules.items()}


def _options(body: str, where: str) -> tuple[tuple[Node, ...], ...]:
    tokens = _TOKEN.findall(body)
    if sum(len(token) for token in tokens) != len("".join(body.split())):
        raise TrainingError(f"{where}: cannot read {body!r}")
    options, at = _sequence(tokens, 0, where, closing="")
    if at != len(tokens):
        raise TrainingError(f"{where}: {tokens[at]!r} was never opened")
    return options


def _sequence(tokens: list[str], at: int, where: str, closing: str) -> tuple[tuple[tuple[Node, ...], ...], int]:
    """Alternatives up to the bracket that closes them, and the place behind it."""
    options: list[list[Node]] = [[]]
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token == closing:
            return tuple(tuple(option) for option in options), at
        if token == "|":
            options.append([])
        elif token in "([":
            inner, at = _sequence(tokens, at, where, closing=")" if token == "(" else "]")
            options[-1].append(Choice(inner, optional=token == "["))
        elif token in ")]":
            raise TrainingError(f"{where}: {token!r} was never opened")
        elif token.startswith("{"):
            options[-1].append(Reference(token[1:-1]))
        else:
            options[-1].append(Words(token))
    if closing:
        raise TrainingError(f"{where}: {closing!r} is missing")
    return tuple(tuple(option) for option in options), at


def _references(node: Node) -> set[str]:
    if isinstance(node, Reference):
        return {node.name}
    if isinstance(node, Choice):
        return {name for option in node.options for part in option for name in _references(part)}
    return set()
