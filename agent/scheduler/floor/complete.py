"""Is what was said the whole answer that the brain waits for? Pure.

Only numbers are judged: a complete one ends a turn at once, an incomplete one waits. Everything else is for the ears.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from agent.expectation import Expect

_DIGITS: Final = {
    "zero": "0", "oh": "0", "o": "0", "nought": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
    "six": "6", "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
_REPEATS: Final = {"double": 2, "triple": 3}
_CORRECTIONS: Final = frozenset({"no", "sorry", "wait", "correction", "not"})
"""Whoever says one of these means other digits than those before."""


class Completeness(StrEnum):
    UNKNOWN = "unknown"
    INCOMPLETE = "incomplete"
    COMPLETE = "complete"


def spoken_digits(words: tuple[str, ...]) -> str:
    """Digits in ``words`` (after the last correction), other words skipped."""
    found: list[str] = []
    repeat = 1
    for word in words:
        if word in _CORRECTIONS:
            found.clear()
        elif word in _REPEATS:
            repeat = _REPEATS[word]
            continue
        elif (digit := _DIGITS.get(word)) is not None:
            found.append(digit * repeat)
        elif word.isascii() and word.isdigit():
            found.append(word * repeat)
        repeat = 1
    return "".join(found)


def completeness(expect: Expect, words: tuple[str, ...]) -> Completeness:
    """Judge ``words`` against ``expect``: incomplete only if a number of known length was begun."""
    if expect.digits is None or not words:
        return Completeness.UNKNOWN
    digits = spoken_digits(words)
    if not digits:
        return Completeness.UNKNOWN
    if len(digits) < expect.digits:
        return Completeness.INCOMPLETE
    return Completeness.COMPLETE if len(digits) == expect.digits else Completeness.UNKNOWN
