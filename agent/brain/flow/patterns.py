"""Patterns of what callers say: words, ``( a | b )`` choices, ``[ optional ]`` parts and ``{slot}`` values. Pure.

The grammar, in the notation of RFC 5234::

    pattern  = sequence *( "|" sequence )
    sequence = 1*( word / "(" pattern ")" / "[" pattern "]" / "{" slot "}" )
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.brain.flow.words import normalise

MAX_FORMS = 4000
"""A pattern with more forms than that is a mistake."""

_TOKEN = re.compile(r"\s*(?:(?P<slot>\{[^{}]*\})|(?P<mark>[()\[\]|])|(?P<word>[^\s()\[\]{}|]+)|(?P<bad>[{}]))")
_SLOT_NAME = re.compile(r"\{[a-z][a-z0-9_]*\}")


class PatternError(ValueError):
    """A pattern cannot be read; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One pattern, read."""

    source: str
    forms: tuple[tuple[str, ...], ...] = field(repr=False)
    """Every way to say it; slots appear as ``{name}``."""
    slots: frozenset[str]
    phrase: str
    """For a recogniser: lower case, slots left out; empty where only slots are left."""


def parse_pattern(source: str) -> Pattern:
    """Read ``source``; raises ``PatternError``."""
    tokens = list(_tokens(source))
    if not tokens:
        raise PatternError("empty pattern")
    forms, rest = _choices(tokens)
    if rest:
        raise PatternError(f"'{rest[0]}' closes nothing")
    if any(not form for form in forms):
        raise PatternError("matches silence: at least one word must not be optional")
    slots = frozenset(token[1:-1] for form in forms for token in form if token.startswith("{"))
    return Pattern(source=source, forms=tuple(dict.fromkeys(forms)), slots=slots, phrase=_phrase(tokens))


def _tokens(source: str) -> Iterator[str]:
    at = 0
    text = source.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match["bad"]:
            raise PatternError(f"'{text[at:].strip()[0]}' is not closed or not opened")
        at = match.end()
        if match["slot"]:
            if not _SLOT_NAME.fullmatch(match["slot"]):
                raise PatternError(f"'{match['slot']}' is not a slot: write {{name}} in lower case")
            yield match["slot"]
        elif match["mark"]:
            yield match["mark"]
        else:
            yield from normalise([match["word"]])


def _choices(tokens: list[str]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Forms up to a closing bracket or the end, and the tokens from there on."""
    forms, rest = _sequence(tokens)
    while rest and rest[0] == "|":
        more, rest = _sequence(rest[1:])
        forms = forms + more
        _check_size(len(forms))
    return forms, rest


def _sequence(tokens: list[str]) -> tuple[list[tuple[str, ...]], list[str]]:
    forms: list[tuple[str, ...]] = [()]
    rest = tokens
    while rest and rest[0] not in (")", "]", "|"):
        token, rest = rest[0], rest[1:]
        if token in ("(", "["):
            inner, rest = _choices(rest)
            closing = ")" if token == "(" else "]"
            if not rest or rest[0] != closing:
                raise PatternError(f"'{token}' is not closed by '{closing}'")
            rest = rest[1:]
            if token == "[":
                inner = [*inner, ()]
        else:
            inner = [(token,)]
        _check_size(len(forms) * len(inner))
        forms = [form + part for form in forms for part in inner]
    return forms, rest


def _check_size(forms: int) -> None:
    if forms > MAX_FORMS:
        raise PatternError(f"more than {MAX_FORMS} ways to say it: split the pattern")


def _phrase(tokens: list[str]) -> str:
    """The pattern without its slots, one space between tokens, empty brackets removed."""
    text = " ".join("" if token.startswith("{") else token for token in tokens)
    text = " ".join(text.split())
    while True:
        shorter = " ".join(re.sub(r"\( *\)|\[ *\]|(?<=[(\[]) *\||\| *(?=[)\]|])", " ", text).split())
        if shorter == text:
            return text.strip(" |")
        text = shorter
