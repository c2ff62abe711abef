"""Numbers, dates, codes and sums as callers really say them, drawn at random. Pure.

``/`` marks where a pause may fall inside a breath, ``//`` where what follows is an utterance of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from agent.brain.flow.digits import luhn
from agent.voice.normalise import MONTHS
from agent.voice.numbers import ONES, cardinal, clock_time, group_sizes, ordinal, year

Rng = np.random.Generator
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_ALPHABET: Final = (
    "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo "
    "sierra tango uniform victor whiskey xray yankee zulu"
)
ALPHABET_WORDS: Final = tuple(_ALPHABET.split())
_HOMELY: Final = (
    "apple bravo charlie david edward freddie george harry india john king london mary nancy oliver peter queen robert "
    "sugar tommy umbrella victor william xray yellow zebra"
)
HOMELY_WORDS: Final = tuple(_HOMELY.split())
_WEEKDAYS: Final = "monday tuesday wednesday thursday friday saturday sunday"
WEEKDAYS: Final = tuple(_WEEKDAYS.split())
OH: Final = 0.35
"""Share of callers who say "oh" for zero."""
DOUBLE: Final = 0.25
"""Share of callers who say "double five"."""
PAIRS: Final = 0.12
"""Share of numbers read in pairs: "twenty three, forty five"."""
WHOLE_BREATH: Final = 0.35
"""Share of numbers said without any place for a pause."""


def digits(count: int, rng: Rng, *, check: str | None = None) -> str:
    """``count`` digits as figures; with ``check="luhn"`` the last one fits."""
    figures = "".join(str(d) for d in rng.integers(0, 10, count))
    if check != "luhn":
        return figures
    return next(figures[:-1] + str(d) for d in range(10) if luhn(figures[:-1] + str(d)))


def read_out(figures: str, rng: Rng) -> str:
    """Digits read aloud: groups with pauses between them, "oh", "double", pairs."""
    if rng.random() < PAIRS and len(figures) % 2 == 0 and len(figures) <= 8:
        groups = [_pair(figures[at : at + 2]) for at in range(0, len(figures), 2)]
        return _joined(groups, rng)
    oh, double = rng.random() < OH, rng.random() < DOUBLE
    sizes = _sizes(len(figures), rng)
    groups, at = [], 0
    for size in sizes:
        groups.append(_one_by_one(figures[at : at + size], oh=oh, double=double))
        at += size
    return _joined(groups, rng)


def repaired(figures: str, rng: Rng) -> str:
    """The number with a slip in it, taken back and said right."""
    at = int(rng.integers(1, len(figures))) if len(figures) > 1 else 1
    wrong = str((int(figures[at - 1]) + int(rng.integers(1, 10))) % 10)
    excuse = ("no sorry", "sorry", "no", "i mean", "no wait", "uh no", "let me start again")[int(rng.integers(7))]
    pause = ("/", "//")[int(rng.integers(2))]
    if excuse == "let me start again":
        return f"{read_out(figures[: at - 1] + wrong, rng)} {pause} {excuse} // {read_out(figures, rng)}"
    head = _one_by_one(figures[: at - 1] + wrong, oh=False, double=False)
    tail = _one_by_one(figures[at - 1 :], oh=False, double=False)
    return f"{head} {pause} {excuse} / {tail}"


def date(rng: Rng) -> str:
    """A date in one of the usual ways."""
    day, month = int(rng.integers(1, 29)), MONTHS[int(rng.integers(12))]
    weekday = WEEKDAYS[int(rng.integers(7))]
    forms = (
        f"the {ordinal(day)} of {month}",
        f"{month} the {ordinal(day)}",
        f"{month} {ordinal(day)}",
        f"{weekday} the {ordinal(day)}",
        f"{weekday} the {ordinal(day)} of {month}",
        f"the {ordinal(day)}",
        f"{ordinal(day)} of {month}",
        f"{cardinal(day)} {month}",
        f"the {ordinal(day)} of {month} / {year(int(rng.integers(1935, 2027)))}",
        f"{month} {ordinal(day)} {year(int(rng.integers(1935, 2027)))}",
        f"the {ordinal(day)} of the {ordinal(1 + MONTHS.index(month))} {year(int(rng.integers(1935, 2027)))}",
    )
    return forms[int(rng.integers(len(forms)))]


def clock(rng: Rng) -> str:
    """A time of day."""
    hour, minute = int(rng.integers(1, 13)), int(rng.choice((0, 0, 5, 10, 15, 20, 30, 30, 40, 45, 50)))
    if minute in (15, 30) and rng.random() < 0.4:
        return f"{'quarter' if minute == 15 else 'half'} past {cardinal(hour)}"
    half = ("", "", " in the morning", " in the evening", " p m", " a m")[int(rng.integers(6))]
    return clock_time(hour, minute) + half


def money(rng: Rng) -> str:
    """A sum of money."""
    whole, unit = (
        int(rng.choice((rng.integers(1, 20), rng.integers(20, 100), rng.integers(100, 3000)))),
        rng.integers(3),
    )
    name, small = (("dollars", "cents"), ("pounds", "pence"), ("euros", "cents"))[int(unit)]
    if rng.random() < 0.5:
        return f"{cardinal(whole)} {name}"
    cents = int(rng.integers(1, 100))
    return f"{cardinal(whole)} {name} and {cardinal(cents)} {small}" if rng.random() < 0.4 else (
        f"{cardinal(whole)} {name} {cardinal(cents)}"
    )  # fmt: skip


def code(rng: Rng) -> str:
    """Letters and digits, as on a label: read one by one, some letters by an alphabet."""
    length = int(rng.integers(3, 9))
    return _joined_marks([_sign(rng) for _ in range(length)], rng)


def letters_as(rng: Rng) -> str:
    """``b for bravo, x for xray``."""
    parts = []
    for index in rng.integers(0, 26, int(rng.integers(2, 5))):
        words = ALPHABET_WORDS if rng.random() < 0.5 else HOMELY_WORDS
        parts.append(f"{LETTERS[index]} {('for', 'as in', 'like')[int(rng.integers(3))]} {words[index]}")
    return " / ".join(parts)


def spelled(word: str, rng: Rng) -> str:
    """A name letter by letter, "double" where a letter comes twice."""
    signs, plain = [], [letter for letter in word if letter in LETTERS]
    at = 0
    while at < len(plain):
        twice = at + 1 < len(plain) and plain[at] == plain[at + 1] and rng.random() < 0.6
        signs.append(f"double {plain[at]}" if twice else plain[at])
        at += 2 if twice else 1
    return _joined_marks(signs, rng)


def house(rng: Rng) -> str:
    number = int(rng.choice((rng.integers(1, 30), rng.integers(30, 200), rng.integers(200, 3000))))
    if number >= 200 and rng.random() < 0.6:
        return " ".join(ONES[int(d)] for d in str(number))
    letter = f" {LETTERS[int(rng.integers(4))]}" if rng.random() < 0.1 else ""
    return cardinal(number) + letter


def postcode(rng: Rng) -> str:
    if rng.random() < 0.5:
        return read_out(digits(5, rng), rng)
    a, b, c, d = (LETTERS[int(i)] for i in rng.integers(0, 26, 4))
    return f"{a} {b} {ONES[int(rng.integers(10))]} / {ONES[int(rng.integers(10))]} {c} {d}"


def _sizes(count: int, rng: Rng) -> Sequence[int]:
    """How a number is cut into groups; a third of callers make up their own."""
    if rng.random() < 0.65:
        return group_sizes(count)
    sizes = []
    while count:
        size = min(count, int(rng.integers(1, 5)))
        sizes.append(size)
        count -= size
    return sizes


def _one_by_one(figures: str, *, oh: bool, double: bool) -> str:
    words: list[str] = []
    at = 0
    while at < len(figures):
        word = "oh" if oh and figures[at] == "0" else ONES[int(figures[at])]
        if double and at + 1 < len(figures) and figures[at] == figures[at + 1]:
            words += ["double", word]
            at += 2
        else:
            words.append(word)
            at += 1
    return " ".join(words)


def _pair(two: str) -> str:
    return f"oh {ONES[int(two[1])]}" if two[0] == "0" else cardinal(int(two))


def _joined(groups: Sequence[str], rng: Rng) -> str:
    """Groups with pauses between: none, inside a breath, or each an utterance of its own."""
    if rng.random() < WHOLE_BREATH:
        return " ".join(groups)
    style = ("/", "//")[int(rng.integers(2))]
    return f" {style} ".join(groups)


def _joined_marks(signs: Sequence[str], rng: Rng) -> str:
    """Single letters: now and then a place for a pause."""
    out = [signs[0]]
    for sign in signs[1:]:
        if rng.random() < 0.25:
            out.append("/" if rng.random() < 0.5 else "//")
        out.append(sign)
    return " ".join(out)


def _sign(rng: Rng) -> str:
    if rng.random() < 0.45:
        return ONES[int(rng.integers(10))]
    index = int(rng.integers(26))
    return ALPHABET_WORDS[index] if rng.random() < 0.12 else LETTERS[index]
