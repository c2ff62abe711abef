"""Days as people say them. Pure: ``today`` is a fact that is passed in."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta

from agent.brain.flow.words import DIGIT_WORDS, MONTHS, WEEKDAYS, ordinals

_ORDINALS = ordinals()
_NUMBERS = {word: value for value, word in enumerate(DIGIT_WORDS)} | {
    "a": 1, "an": 1, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
}  # fmt: skip
_DAY = "|".join([*_ORDINALS, *(str(n) for n in range(31, 0, -1))])
_MONTH = "|".join(MONTHS)
_COUNT = "|".join([*_NUMBERS, r"\d{1,2}"])
_TAKEN_BACK = re.compile(r"\b(?:no sorry|no wait|i mean|i meant|make that|actually|rather|sorry|no|not)\b")
_REFUSED = re.compile(rf"\bnot (?:on )?(?:{'|'.join(WEEKDAYS)}|today|tomorrow)\b")


def read_date(tokens: Sequence[str], today: date) -> date | None:
    """The day meant by normalised ``tokens``; of several, the last one that was not taken back.

    A bare weekday is the next one after today; "next friday" is the one of next week; a day and month that have passed
    are next year's.
    """
    text = " ".join(tokens)
    for candidate in (_REFUSED.sub(" ", text), text):
        for part in reversed(_TAKEN_BACK.split(candidate)):
            found = _date_in(part, today)
            if found is not None:
                return found
    return None


def _date_in(text: str, today: date) -> date | None:
    for pattern, meaning in _FORMS:
        if match := pattern.search(text):
            return meaning(match, today)
    return None


def _in_days(match: re.Match[str], today: date) -> date | None:
    count = int(match["count"]) if match["count"].isdigit() else _NUMBERS[match["count"]]
    return today + timedelta(days=count * (7 if match["unit"].startswith("week") else 1))


def _weekday(match: re.Match[str], today: date) -> date | None:
    wanted = WEEKDAYS.index(match["day"])
    if match["which"] == "next":
        return today + timedelta(days=7 - today.weekday() + wanted)
    return today + timedelta(days=(wanted - today.weekday() - 1) % 7 + 1)


def _week_from(match: re.Match[str], today: date) -> date | None:
    wanted = WEEKDAYS.index(match["day"])
    return today + timedelta(days=(wanted - today.weekday() - 1) % 7 + 8)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else _ORDINALS[text]


def _day_and_month(match: re.Match[str], today: date) -> date | None:
    month = MONTHS.index(match["month"]) + 1
    this_year = _valid(today.year, month, _number(match["day"]))
    if this_year is not None and this_year >= today:
        return this_year
    return _valid(today.year + 1, month, _number(match["day"]))


def _day_of_month(match: re.Match[str], today: date) -> date | None:
    for ahead in range(12):
        year, month = divmod(today.month - 1 + ahead, 12)
        found = _valid(today.year + year, month + 1, _number(match["day"]))
        if found is not None and found >= today:
            return found
    return None


def _valid(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _after(days: int) -> Callable[[re.Match[str], date], date | None]:
    return lambda match, today: today + timedelta(days=days)


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], date], date | None]], ...] = (
    (re.compile(r"\bday after tomorrow\b"), _after(2)),
    (re.compile(rf"\b(?:a|one) week (?:from|on|after) (?P<day>{'|'.join(WEEKDAYS)})\b"), _week_from),
    (re.compile(rf"\b(?P<day>{'|'.join(WEEKDAYS)}) week\b"), _week_from),
    (re.compile(r"\b(?:a week from tomorrow|tomorrow week)\b"), _after(8)),
    (re.compile(rf"\b(?:the )?(?P<day>{_DAY})(?: of| day of)? (?P<month>{_MONTH})\b"), _day_and_month),
    (re.compile(rf"\b(?P<month>{_MONTH})(?: the)? (?P<day>{_DAY})\b"), _day_and_month),
    (re.compile(r"\btomorrow\b"), _after(1)),
    (re.compile(r"\b(?:today|tonight)\b"), _after(0)),
    (re.compile(rf"\bin (?P<count>{_COUNT}) (?P<unit>days?|weeks?)\b"), _in_days),
    (re.compile(rf"\b(?P<count>{_COUNT}) (?P<unit>days?|weeks?) from (?:now|today)\b"), _in_days),
    (re.compile(rf"\b(?:(?P<which>next|this|coming) )?(?P<day>{'|'.join(WEEKDAYS)})\b"), _weekday),
    (re.compile(rf"\bthe (?P<day>{_DAY})\b"), _day_of_month),
    (re.compile(rf"^(?:on )?(?P<day>{'|'.join(_ORDINALS)})$"), _day_of_month),
)
"""Tried from the top: the longer form first."""
