"""Numbers said digit by digit: corrected in mid-sentence, and corrected after a readback. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.brain.flow.words import DIGIT_WORDS

_DIGITS = {word: str(value) for value, word in enumerate(DIGIT_WORDS)} | {
    "nought": "0", "naught": "0", "nil": "0", "niner": "9", "fife": "5",
    "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15",
    "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19",
}  # fmt: skip
_TENS = {
    "twenty": "2",
    "thirty": "3",
    "forty": "4",
    "fifty": "5",
    "sixty": "6",
    "seventy": "7",
    "eighty": "8",
    "ninety": "9",
}
_TIMES = {"double": 2, "triple": 3, "treble": 3}
_HOMOPHONES = {"to": "2", "too": "2", "for": "4", "fore": "4", "ate": "8", "won": "1", "tree": "3", "sex": "6"}
"""Taken for digits only between digits: recognisers write them so."""
_OH = {"oh", "o"}

_RESTARTS = (
    "let me start again", "let me start over", "start again", "start over", "from the beginning", "from the start",
    "scratch that", "forget that", "once more", "let me repeat",
)  # fmt: skip
_CORRECTIONS = (
    "no sorry", "sorry no", "no wait", "wait no", "oh no", "i mean", "i meant", "i am sorry", "make that", "or rather",
    "correction", "actually", "rather", "sorry", "wait", "oops", "pardon", "no",
)  # fmt: skip
_MARKERS = tuple((tuple(text.split()), "restart") for text in _RESTARTS) + tuple(
    (tuple(text.split()), "correct") for text in _CORRECTIONS
)

_MOST_SEGMENTS = 4  # more corrections than that in one sentence are folded from the left


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsHeard:
    """Digits of one turn."""

    digits: str
    corrected: bool
    """The caller corrected or restarted the number in the sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsReply:
    """Answer to a readback, as far as digits go."""

    value: str | None = None
    """The number after the correction; ``None`` where no digit was said."""
    unclear: bool = False
    """Digits were said, but which ones they replace cannot be told."""


def luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1 annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


CHECKS = {"none": lambda digits: True, "luhn": luhn}


def read_digits(tokens: Sequence[str], *, length: int | None = None, check: str = "none") -> DigitsHeard:
    """Digits in normalised ``tokens``: "one two three four no sorry three five" … with what was taken back left out.

    After a correction the new digits replace the end of the old ones: as many as make ``length`` come out right, else
    as many as are new.
    """
    segments: list[str] = [""]
    corrected = False
    for kind, value in _scan(tokens):
        if kind == "digits":
            segments[-1] += value
        elif kind == "restart":
            corrected = corrected or any(segments)
            segments = [""]
        elif segments[-1]:
            segments.append("")
    segments = [segment for segment in segments if segment]
    if len(segments) <= 1:
        return DigitsHeard(digits="".join(segments), corrected=corrected)
    return DigitsHeard(digits=_join(segments, length, check), corrected=True)


def unbroken_digits(tokens: Sequence[str]) -> str:
    """Digits of a turn that goes on, said in one go and up to its last word; empty where they may mean others.

    That is where some were taken back, where another word follows them (a correction begins with one), and where the
    last word may still become something else ("for", "oh").
    """
    found, ends = "", False
    for kind, value in _scan(tokens):
        if kind != "digits" and found:
            return ""
        found += value
    if tokens:
        last = tokens[-1]
        ends = bool(_single(last)) or last in _TENS
    return found if ends else ""


def _scan(tokens: Sequence[str]) -> Iterator[tuple[str, str]]:
    """``("digits", "12")``, ``("restart", "")``, ``("correct", "")`` in order; other words are left out."""
    at = 0
    after_digit = False
    while at < len(tokens):
        marker, size = _marker_at(tokens, at)
        if marker:
            yield marker, ""
            after_digit = False
        else:
            value, size = _digits_at(tokens, at, after_digit)
            after_digit = bool(value)
            if value:
                yield "digits", value
        at += size


def _marker_at(tokens: Sequence[str], at: int) -> tuple[str, int]:
    for words, kind in _MARKERS:
        if tuple(tokens[at : at + len(words)]) == words:
            return kind, len(words)
    return "", 1


def _digits_at(tokens: Sequence[str], at: int, after_digit: bool) -> tuple[str, int]:
    """Digits that begin at ``at`` and how many tokens they take; ``("", 1)`` for another word."""
    token = tokens[at]
    following = tokens[at + 1] if at + 1 < len(tokens) else ""
    if token in _TIMES:
        repeated = _single(following) or ("0" if following in _OH else "")
        return (repeated * _TIMES[token], 2) if len(repeated) == 1 else ("", 1)
    if token in _TENS:
        unit = _DIGITS.get(following, "")
        return (_TENS[token] + unit, 2) if len(unit) == 1 and unit != "0" else (_TENS[token] + "0", 1)
    if value := _single(token):
        return value, 1
    digit_follows = bool(_single(following)) or following in _TENS or following in _TIMES or following in _OH
    if token in _OH and (digit_follows or (after_digit and not _marker_at(tokens, at + 1)[0])):
        return "0", 1
    if token in _HOMOPHONES and after_digit and (digit_follows or not following):
        return _HOMOPHONES[token], 1
    return "", 1


def _single(token: str) -> str:
    return token if token.isascii() and token.isdigit() else _DIGITS.get(token, "")


def _join(segments: list[str], length: int | None, check: str) -> str:
    """One number from what was said before and after each correction."""
    while len(segments) > _MOST_SEGMENTS:
        segments = [_replace_end(segments[0], segments[1]), *segments[2:]]
    if length is not None:
        fits = [joined for joined in _joins(segments) if len(joined) == length]
        right = [joined for joined in fits if CHECKS[check](joined)]
        if right or fits:
            return (right or fits)[0]
    joined = segments[0]
    for segment in segments[1:]:
        joined = _replace_end(joined, segment)
    return joined


def _joins(segments: list[str]) -> Iterator[str]:
    """Every number that could be meant: each correction takes back at least one digit."""
    if len(segments) == 1:
        yield segments[0]
        return
    before, after, *rest = segments
    for taken_back in range(1, len(before) + 1):
        yield from _joins([before[: len(before) - taken_back] + after, *rest])


def _replace_end(before: str, after: str) -> str:
    return before[: max(0, len(before) - len(after))] + after


# --- corrections after a readback --------------------------------------------------------------------------

_PLACES = {
    "first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "sixth": 5, "seventh": 6, "eighth": 7, "ninth": 8,
    "tenth": 9, "last": -1, "final": -1, "second last": -2, "second to last": -2, "last but one": -2,
    "third last": -3, "third to last": -3,
}  # fmt: skip
_PLACE = "|".join(sorted(_PLACES, key=len, reverse=True))
_COUNTS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6}
_IS = r"(?:is|are|was|were|should be|must be|has to be|have to be|needs to be|as)"
_AT_PLACE = re.compile(
    rf"\b(?P<place>{_PLACE})(?: (?P<count>{'|'.join(_COUNTS)}))?(?: (?:one|ones|1|digits?|numbers?|figures?))?"
    rf" {_IS}(?: actually| really| an?)? (?P<digits>.+?)(?= and the | the (?:{_PLACE}) |$)"
)
_ENDS = re.compile(r"\b(?P<end>ends?|ending|starts?|starting|begins?|beginning) (?:in|with|on|as) (?P<digits>.+)$")
_NOT_BUT = re.compile(r"\bnot (?:an? )?(?P<wrong>[a-z0-9]+)(?: but| it is| rather)*(?: an?)? (?P<right>[a-z0-9]+)$")
_BUT_NOT = re.compile(r"\b(?P<right>[a-z0-9]+)(?: and)? not (?:an? )?(?P<wrong>[a-z0-9]+)$")


def correct_digits(value: str, tokens: Sequence[str], *, check: str = "none") -> DigitsReply:
    """What ``tokens``, said after ``value`` was read back, make of it.

    Understood: the whole number again; "the last one is nine", "the first two are …", "it ends in …"; "nine, not
    eight"; and a few digits in a row that differ from one place of the number in one digit.
    """
    text = " ".join(tokens)
    for correction in (_at_places, _at_end, _one_for_another):
        reply = correction(value, text)
        if reply is not None:
            return reply
    said = read_digits(tokens, length=len(value), check=check).digits
    if not said:
        return DigitsReply()
    if len(said) == len(value):
        return DigitsReply(value=said)
    return _by_likeness(value, said)


def _at_places(value: str, text: str) -> DigitsReply | None:
    """The last one is nine."""
    found = list(_AT_PLACE.finditer(text))
    for match in found:
        digits = _right_digits(match["digits"])
        place = _PLACES[match["place"]]
        count = _COUNTS.get(match["count"] or "", 1)
        start = place if place >= 0 else len(value) + place + (1 - count if place == -1 else 0)
        if len(digits) != count or start < 0 or start + count > len(value):
            return DigitsReply(unclear=True)
        value = value[:start] + digits + value[start + count :]
    return DigitsReply(value=value) if found else None


def _right_digits(text: str) -> str:
    """Digits of "nine", "nine not eight" or "not eight but nine"."""
    for pattern in (_NOT_BUT, _BUT_NOT):
        if match := pattern.search(text):
            return read_digits([match["right"]]).digits
    return read_digits(text.split()).digits


def _at_end(value: str, text: str) -> DigitsReply | None:
    """It ends in five nine."""
    match = _ENDS.search(text)
    digits = _right_digits(match["digits"]) if match else ""
    if match is None or not digits:
        return None
    if len(digits) > len(value):
        return DigitsReply(unclear=True)
    if match["end"].startswith("end"):
        return DigitsReply(value=value[: len(value) - len(digits)] + digits)
    return DigitsReply(value=digits + value[len(digits) :])


def _one_for_another(value: str, text: str) -> DigitsReply | None:
    """Nine, not eight."""
    for pattern in (_NOT_BUT, _BUT_NOT):
        match = pattern.search(text)
        if match is None:
            continue
        wrong, right = (read_digits([match[name]]).digits for name in ("wrong", "right"))
        if len(wrong) == len(right) == 1:
            once = value.count(wrong) == 1
            return DigitsReply(value=value.replace(wrong, right)) if once else DigitsReply(unclear=True)
    return None


def _by_likeness(value: str, said: str) -> DigitsReply:
    """Some digits in a row: the one place where only one of them is new. A part that is right changes nothing."""
    if said in value and len(said) > 1:
        return DigitsReply(value=value)
    places = [
        start
        for start in range(len(value) - len(said) + 1)
        if sum(a != b for a, b in zip(said, value[start : start + len(said)], strict=True)) == 1
    ]
    if len(said) < 2 or len(places) != 1:
        return DigitsReply(unclear=True)
    return DigitsReply(value=value[: places[0]] + said + value[places[0] + len(said) :])
