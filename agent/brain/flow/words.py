"""Words as a recogniser gives them, made comparable; and values as they are spoken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date

_CONTRACTIONS = {
    "i'm": "i am", "i'd": "i would", "i've": "i have", "i'll": "i will", "it's": "it is", "that's": "that is",
    "what's": "what is", "where's": "where is", "when's": "when is", "who's": "who is", "there's": "there is",
    "you're": "you are", "they're": "they are", "don't": "do not", "doesn't": "does not", "didn't": "did not",
    "isn't": "is not", "wasn't": "was not", "aren't": "are not", "haven't": "have not", "hasn't": "has not",
    "can't": "can not", "cannot": "can not", "couldn't": "could not", "won't": "will not", "let's": "let us",
    "gonna": "going to", "wanna": "want to", "gotta": "got to",
}  # fmt: skip

_NOT_WORD = re.compile(r"[^a-z0-9' ]+")

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_ORDINALS_TO_20 = (
    "zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth",
    "nineteenth", "twentieth",
)  # fmt: skip


def normalise(words: Iterable[str]) -> list[str]:
    """Lower case, no punctuation, contractions written out: ``["What's", "up-to-date?"] → what is up to date``."""
    tokens: list[str] = []
    for word in " ".join(words).lower().replace("\u2019", "'").split():
        for part in _NOT_WORD.sub(" ", word).split():
            tokens += _CONTRACTIONS.get(part, part.replace("'", "")).split()
    return tokens


def bare(word: str) -> str:
    """A word of a text without case and punctuation, for comparing heard with said."""
    return re.sub(r"[^a-z0-9]+", "", word.lower())


def spell_digits(digits: str, groups: Sequence[int] = ()) -> str:
    """``12345678`` in groups of 4 and 4 → ``one two three four, five six seven eight``."""
    spoken: list[str] = []
    at = 0
    for size in (*groups, len(digits)):
        group = digits[at : at + size]
        if group:
            spoken.append(" ".join(DIGIT_WORDS[int(digit)] for digit in group))
        at += size
    return ", ".join(spoken)


def ordinal(number: int) -> str:
    """1..31 as a word: ``twenty first``."""
    if number <= 20:
        return _ORDINALS_TO_20[number]
    if number == 30:
        return "thirtieth"
    return f"{'twenty' if number < 30 else 'thirty'} {_ORDINALS_TO_20[number % 10]}"


def ordinals() -> dict[str, int]:
    """Every spoken form of the ordinals 1..31, longest first."""
    forms: dict[str, int] = {}
    for number in range(1, 32):
        forms[ordinal(number)] = number
        forms[f"{number}{'th' if 10 < number < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"] = number
    return dict(sorted(forms.items(), key=lambda item: -len(item[0])))


def spell_date(day: date) -> str:
    """``Wednesday the twenty fifth of November``."""
    return f"{WEEKDAYS[day.weekday()].capitalize()} the {ordinal(day.day)} of {MONTHS[day.month - 1].capitalize()}"
