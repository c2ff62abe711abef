"""Dialogue text to words that a voice can say, token by token, so that every spoken word has its source word. Pure.

A token is what stands between spaces. Signs that nobody says alone (a dash, an ellipsis) stay with their neighbour:
the tokens joined by spaces are the text again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.voice.numbers import ONES, cardinal, clock_time, digit_groups, ordinal, year

_MONTH_NAMES: Final = "january february march april may june july august september october november december"
MONTHS: Final = tuple(_MONTH_NAMES.split())
SHORT_MONTHS: Final = {name[:3]: name for name in MONTHS} | {"sept": "september"}
ABBREVIATIONS: Final = {
    "mr": "mister",
    "mrs": "missus",
    "ms": "miz",
    "dr": "doctor",
    "st": "street",
    "no": "number",
    "nr": "number",
    "vs": "versus",
    "approx": "approximately",
    "etc": "et cetera",
    "e.g": "for example",
    "i.e": "that is",
    "a.m": "A M",
    "p.m": "P M",
    "ext": "extension",
    "tel": "telephone",
    "min": "minutes",
    "inc": "incorporated",
    "ltd": "limited",
}
"""Said like this when a full stop follows; without one only where ``BARE`` says so."""
BARE: Final = frozenset({"mr", "mrs", "ms", "dr", "vs", "etc"})
SYMBOLS: Final = {
    "&": "and",
    "@": "at",
    "+": "plus",
    "%": "percent",
    "=": "equals",
    "#": "number",
    "€": "euros",
    "£": "pounds",
    "$": "dollars",
}
CURRENCIES: Final = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny")}
BEFORE_A_YEAR: Final = frozenset({"in", "since", "until", "year"})
SPEAKABLE_CAPITALS: Final = frozenset({"I", "A", "OK", "NO", "YES", "STOP", "NOT", "AND", "OR", "AM", "PM"})

_EDGES = re.compile(r"^([^\w$€£+#&@%=]*)(.*?)([^\w$€£+#&@%=]*)$", re.DOTALL)
_STOPS = ".!?…"
_BREAKS = ",;:"
_DASHES = re.compile(r"[–—−‒]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One word of the dialogue."""

    source: str
    """As it stands in the text, with its punctuation."""
    spoken: str
    """Words of letters and apostrophes, spaces, and commas for short pauses. Never empty."""
    mark: str
    """The mark that ends it: ``.``, ``!``, ``?``, ``,``, ``;``, ``:``, ``-`` or empty."""


def tokens(text: str) -> list[Token]:
    """Tokens of a text; their sources joined are the text with single spaces. Empty where nothing can be said."""
    parts = text.split()
    found: list[Token] = []
    waiting = ""
    for index, part in enumerate(parts):
        spoken, mark = _speak(part, parts, index)
        if spoken:
            found.append(Token(source=f"{waiting}{part}", spoken=spoken, mark=mark))
            waiting = ""
        elif found:
            last = found[-1]
            found[-1] = Token(source=f"{last.source} {part}", spoken=last.spoken, mark=mark or last.mark)
        else:
            waiting = f"{waiting}{part} "
    return found


def _speak(part: str, parts: Sequence[str], index: int) -> tuple[str, str]:
    """Spoken words of one part and the mark behind it."""
    part = part.replace("’", "'").replace("‘", "'")
    edges = _EDGES.match(part)
    core, tail = (edges[2], edges[3] if edges[2] else edges[1]) if edges else (part, "")
    short = ABBREVIATIONS.get(core.lower())
    if short and (tail.startswith(".") or core.lower() in BARE) and not _ends_sentence(core, tail, parts, index):
        ends = tail.startswith(".") and index == len(parts) - 1
        return _abbreviation(core, short, parts, index), _mark(tail if ends else tail[1:])
    before = parts[index - 1].strip(_STOPS + _BREAKS) if index else ""
    after = parts[index + 1].strip(_STOPS + _BREAKS) if index + 1 < len(parts) else ""
    return _clean(_core(core, before, after)), _mark(tail)


def _ends_sentence(core: str, tail: str, parts: Sequence[str], index: int) -> bool:
    """``No.`` and ``min.`` are words at the end of a sentence, abbreviations before a number or a name."""
    if core.lower() not in {"no", "min", "st", "nr", "ext", "tel"}:
        return False
    following = parts[index + 1] if index + 1 < len(parts) else ""
    if core.lower() == "st":
        return not tail.startswith(".")
    if core.lower() == "min":
        return not (index and parts[index - 1][:1].isdigit())
    return not following[:1].isdigit()


def _abbreviation(core: str, short: str, parts: Sequence[str], index: int) -> str:
    saint = core == "St" and index + 1 < len(parts) and parts[index + 1][:1].isupper()
    return "saint" if saint and not (index and parts[index - 1][:1].isupper()) else short


def _mark(tail: str) -> str:
    for signs in (_STOPS, ";:", ","):
        for char in tail:
            if char in signs:
                return "." if char == "…" else char
    return "-" if _DASHES.search(tail) or tail.endswith("-") else ""


def _clean(spoken: str) -> str:
    """ASCII letters, apostrophes inside words, single spaces, commas: nothing that a voice reads in its own way."""
    plain = unicodedata.normalize("NFKD", spoken).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z', ]+", " ", plain)
    plain = re.sub(r"(?<![A-Za-z])'+|'+(?![A-Za-z])", " ", plain)
    plain = re.sub(r"\s*,[\s,]*", ", ", plain)
    return re.sub(r"\s+", " ", plain).strip(" ,")


# --- the core of a token: the first pattern that fits decides ---


def _core(core: str, before: str, after: str) -> str:
    core = _DASHES.sub("-", core)
    for pattern, say in _PATTERNS:
        if found := pattern.fullmatch(core):
            said = say(found, before, after)
            if said is not None:
                return said
    return core


Say = Callable[[re.Match[str], str, str], str | None]


def _is_month(word: str) -> bool:
    plain = word.lower()
    return plain in MONTHS or plain in SHORT_MONTHS


def _money(found: re.Match[str], _before: str, after: str) -> str | None:
    whole, part = int(found["whole"].replace(",", "")), found["part"]
    if after.lower() in {"million", "billion", "thousand"}:
        return None
    unit, small = CURRENCIES[found["sign"] or found["end"]]
    words = f"{cardinal(whole)} {unit}{'' if whole == 1 else 's'}"
    cents = int((part or "0").ljust(2, "0"))
    if not cents:
        return words
    plural = "pence" if small == "penny" else small + "s"
    change = f"{cardinal(cents)} {small if cents == 1 else plural}"
    return f"{words} and {change}" if whole else change


def _time(found: re.Match[str], _before: str, _after: str) -> str | None:
    hour, minute = int(found["hour"]), int(found["minute"] or 0)
    if hour > 24 or minute > 59:
        return None
    half = f" {found['half'][0].upper()} M" if found["half"] else ""
    return (cardinal(hour) if half and not minute else clock_time(hour, minute)) + half


def _number(found: re.Match[str], before: str, after: str) -> str:
    digits = found[0]
    value = int(digits)
    if len(digits) <= 2 and 1 <= value <= 31:
        if _is_month(after):
            return f"{ordinal(value)} of" if before.lower() == "the" else f"the {ordinal(value)} of"
        if _is_month(before):
            return ordinal(value)
    after_a_date = _is_month(before) or re.fullmatch(r"\d{1,2}(st|nd|rd|th)?", before)
    if len(digits) == 4 and 1900 <= value <= 2099 and (after_a_date or before.lower() in BEFORE_A_YEAR):
        return year(value)
    if len(digits) > 4 or (len(digits) > 1 and digits[0] == "0"):
        return digit_groups(digits)
    return cardinal(value)


def _iso_date(found: re.Match[str], _before: str, _after: str) -> str | None:
    month, day = int(found["month"]), int(found["day"])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return f"{MONTHS[month - 1]} {ordinal(day)}, {year(int(found['year']))}"


def _span(found: re.Match[str], _before: str, _after: str) -> str:
    first, last = found[1], found[2]
    if len(first) <= 2 and len(last) <= 2:
        return f"{cardinal(int(first))} to {cardinal(int(last))}"
    return f"{digit_groups(first)}, {digit_groups(last)}"


def _long_number(found: re.Match[str], _before: str, _after: str) -> str:
    """``+49 30`` and ``030/12-34``: digits in the groups that were written."""
    plus = "plus " if found[0].startswith("+") else ""
    return plus + ", ".join(digit_groups(group) for group in re.findall(r"\d+", found[0]))


def _decimal(found: re.Match[str], _before: str, _after: str) -> str:
    return f"{cardinal(int(found[1].replace(',', '')))} point {' '.join(ONES[int(digit)] for digit in found[2])}"


def _short_month(found: re.Match[str], before: str, after: str) -> str | None:
    beside_a_number = before[:1].isdigit() or after[:1].isdigit()
    return SHORT_MONTHS.get(found[0].lower()) if beside_a_number else None


def _capitals(found: re.Match[str], before: str, _after: str) -> str | None:
    word = found[0]
    if word == "PM" or (word == "AM" and before[:1].isdigit()):  # flite is silent for a bare "AM"
        return " ".join(word)
    pronounceable = len(word) > 3 and any(vowel in word for vowel in "AEIOU")
    return word.lower() if word in SPEAKABLE_CAPITALS or pronounceable else " ".join(word)


def _interjection(found: re.Match[str], _before: str, _after: str) -> str:
    """Voices spell ``hm`` and ``mhm``; people hum them."""
    return "um hum" if found[0].lower().startswith("mh") or "-" in found[0] else "hum"


def _letters_and_digits(found: re.Match[str], _before: str, _after: str) -> str | None:
    """``AB12`` → ``A B one two``: codes are spelled."""
    if not (any(char.isdigit() for char in found[0]) and any(char.isalpha() for char in found[0])):
        return None
    return " ".join(ONES[int(char)] if char.isdigit() else char.upper() for char in found[0] if char.isalnum())


def _net_address(found: re.Match[str], _before: str, _after: str) -> str:
    said = re.sub(r"^https?://(www\.)?", "", found[0])
    for sign, word in (("@", "at"), (".", "dot"), ("/", "slash"), ("-", "dash"), ("_", "underscore")):
        said = said.replace(sign, f" {word} ")
    return re.sub(r"\d", lambda digit: f" {ONES[int(digit[0])]} ", said)


def _symbol(found: re.Match[str], _before: str, _after: str) -> str:
    return SYMBOLS[found[0]]


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII)


_INT = r"\d{1,3}(?:,\d{3})+|\d{1,12}"
_PATTERNS: Final[tuple[tuple[re.Pattern[str], Say], ...]] = (
    (_pattern(rf"(?P<sign>[$€£])(?P<whole>{_INT})(?:\.(?P<part>\d{{1,2}}))?(?P<end>)"), _money),
    (_pattern(rf"(?P<sign>)(?P<whole>{_INT})(?:\.(?P<part>\d{{1,2}}))?(?P<end>[$€£])"), _money),
    (_pattern(r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?P<half>[aApP]\.?[mM])?"), _time),
    (_pattern(r"(?P<hour>1?\d)(?P<minute>)(?P<half>[aApP]\.?[mM])"), _time),
    (_pattern(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"), _iso_date),
    (_pattern(r"(\d{1,3})(?:st|nd|rd|th)"), lambda found, _b, _a: ordinal(int(found[1]))),
    (_pattern(r"\d{1,40}"), _number),
    (_pattern(r"\d{1,3}(?:,\d{3}){1,3}"), lambda found, _b, _a: cardinal(int(found[0].replace(",", "")))),
    (_pattern(r"(\d{1,3}(?:,\d{3}){1,3}|\d{1,12})\.(\d{1,6})"), _decimal),
    (_pattern(r"(\d+(?:\.\d+)?)%"), lambda found, b, a: f"{_core(found[1], b, a)} percent"),
    (_pattern(r"#(\d+)"), lambda found, b, a: f"number {_core(found[1], '', '')}"),
    (_pattern(r"(\d+)-(\d+)"), _span),
    (_pattern(r"\+?\d[\d/.()-]*\d"), _long_number),
    (_pattern(r"[Mm]m?-?h+m+|[Hh]m+|[Mm]m+"), _interjection),
    (_pattern(r"[A-Za-z]{3,4}"), _short_month),
    (
        _pattern(
            r"(?:https?://)?[\w.-]+@[\w.-]+\.[A-Za-z]{2,}|(?:https?://|www\.)[^\s]+|[\w-]+\.(?:com|org|net|de|eu|io|co|uk|example)(?:/\S*)?"
        ),
        _net_address,
    ),
    (_pattern(r"[A-Z]{2,5}"), _capitals),
    (_pattern(r"[A-Za-z0-9-]+"), _letters_and_digits),
    (_pattern(r"[&@+%=#€£$]"), _symbol),
)
