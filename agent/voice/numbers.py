"""Numbers to English words. Pure."""

from __future__ import annotations

from typing import Final

_NAMES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
ONES: Final = tuple(_NAMES.split())
TENS: Final = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SCALES: Final = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
IRREGULAR_ORDINALS: Final = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def cardinal(number: int) -> str:
    """``245`` → ``two hundred and forty five``; up to 999 billion."""
    if number < 20:
        return ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens] + (f" {ONES[ones]}" if ones else "")
    for size, name in SCALES:
        if number >= size:
            count, rest = divmod(number, size)
            joint = " and " if 0 < rest < 100 else " "
            return f"{cardinal(count)} {name}" + (joint + cardinal(rest) if rest else "")
    raise AssertionError("unreachable: every number of 100 or more has a scale")


def ordinal(number: int) -> str:
    """``21`` → ``twenty first``."""
    *before, last = cardinal(number).split()
    if last in IRREGULAR_ORDINALS:
        last = IRREGULAR_ORDINALS[last]
    else:
        last = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return " ".join([*before, last])


def year(number: int) -> str:
    """``2026`` → ``twenty twenty six``, ``2005`` → ``two thousand and five``, ``1900`` → ``nineteen hundred``."""
    century, rest = divmod(number, 100)
    if not 1100 <= number <= 2099 or (century == 20 and rest < 10):
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def group_sizes(count: int) -> list[int]:
    """How people read ``count`` digits aloud: groups of four and three, ``8`` → ``[4, 4]``, ``7`` → ``[3, 4]``."""
    if count <= 4:
        return [count]
    if count % 4 == 0:
        return [4] * (count // 4)
    threes, rest = divmod(count, 3)
    if rest == 0:
        return [3] * threes
    return [3, 2] if count == 5 else [3] * (threes - rest) + [4] * rest


def digit_groups(digits: str) -> str:
    """``12345678`` → ``one two three four, five six seven eight``: the comma becomes a short pause."""
    groups, at = [], 0
    for size in group_sizes(len(digits)):
        groups.append(" ".join(ONES[int(digit)] for digit in digits[at : at + size]))
        at += size
    return ", ".join(groups)


def clock_time(hour: int, minute: int) -> str:
    """``9, 30`` → ``nine thirty``; ``9, 0`` → ``nine o'clock``; ``9, 5`` → ``nine oh five``."""
    if minute == 0:
        return f"{cardinal(hour)} o'clock" if 0 < hour <= 12 else f"{cardinal(hour)} hundred hours"
    return f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"
