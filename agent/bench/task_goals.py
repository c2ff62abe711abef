"""What simulated callers of the parcel line want: goals drawn by seed, said in the dialogue's own forms. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Final

from agent.brain.flow.digits import luhn
from agent.brain.flow.spec import DialogueSpec
from agent.brain.flow.words import WEEKDAYS, spell_digits

TODAY: Final = date(2026, 11, 25)
"""A Wednesday: the back end tells the dialogue so."""
DIGITS: Final = 8
GROUPS: Final = (4, 4)
PLACES: Final = ("with your neighbour", "in your letter box", "at your front door")
WINDOWS: Final = ("between two and four in the afternoon", "before noon")
DETAILS: Final = (
    "the box was open and one cup was broken",
    "the driver did not ring at my door",
    "my parcel was wet when it came",
    "it came two days late",
)
NO_NUMBER: Final = ("no number", "I do not have the number", "I lost the number", "without a number")


class Kind(StrEnum):
    """Ends that a caller may want."""

    TRACK = "track"
    """Hear where a parcel is; the number is asked for."""
    TRACK_AT_ONCE = "track_at_once"
    """The same, with the number in the first sentence."""
    CHANGE = "change"
    """Have it brought on another day."""
    COMPLAIN = "complain"
    """Have a complaint about one parcel written down."""
    COMPLAIN_WITHOUT = "complain_without"
    """… about no parcel."""
    HOURS = "hours"
    """Hear the opening hours to their end."""
    PERSON = "person"
    """Be put through."""


INTENTS: Final[Mapping[Kind, str]] = {
    Kind.TRACK: "track",
    Kind.TRACK_AT_ONCE: "track",
    Kind.CHANGE: "change",
    Kind.COMPLAIN: "complaint",
    Kind.COMPLAIN_WITHOUT: "complaint",
    Kind.HOURS: "hours",
    Kind.PERSON: "person",
}
OFFERED: Final[Mapping[Kind, str]] = {
    Kind.TRACK: "where is my parcel",
    Kind.TRACK_AT_ONCE: "where is my parcel",
    Kind.CHANGE: "change the delivery day",
    Kind.COMPLAIN: "make a complaint",
    Kind.COMPLAIN_WITHOUT: "make a complaint",
    Kind.HOURS: "when are you open",
    Kind.PERSON: "a person please",
}
"""What callers say who were told what they can say."""
SHARES: Final[Mapping[Kind, int]] = {
    Kind.TRACK: 6,
    Kind.TRACK_AT_ONCE: 2,
    Kind.CHANGE: 4,
    Kind.COMPLAIN: 2,
    Kind.COMPLAIN_WITHOUT: 2,
    Kind.HOURS: 2,
    Kind.PERSON: 2,
}
"""Of 20 callers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One caller's wish."""

    kind: Kind
    number: str
    """The parcel's, with a check digit (Luhn); known to the caller, said only where the kind needs it."""
    parcel: Mapping[str, Any]
    """The back end's row: ``status``, ``day`` (ISO), ``place``, ``window``."""
    day: date
    """A day on which it may be brought."""
    days_said: tuple[str, ...]
    """How it is said; another way where the first was not understood."""
    details: tuple[str, ...]
    """What happened; the next one where the first was not understood."""
    openings: tuple[str, ...]
    """First sentences; the next one where the first was not understood."""
    no_number: str

    @property
    def intent(self) -> str:
        return INTENTS[self.kind]

    @property
    def offered(self) -> str:
        return OFFERED[self.kind]

    @property
    def with_number(self) -> bool:
        return self.kind not in (Kind.COMPLAIN_WITHOUT, Kind.HOURS, Kind.PERSON)


def draw_goals(spec: DialogueSpec, count: int, seed: int) -> list[Goal]:
    """``count`` goals, kinds by ``SHARES`` in every 20, each with a number of its own."""
    rng = random.Random(seed)
    deck: list[Kind] = []
    taken: set[str] = set()
    goals = []
    for _ in range(count):
        if not deck:
            deck = [kind for kind, share in SHARES.items() for _ in range(share)]
            rng.shuffle(deck)
        number = _number(rng, taken)
        taken.add(number)
        goals.append(_goal(spec, deck.pop(), number, rng))
    return goals


def _goal(spec: DialogueSpec, kind: Kind, number: str, rng: random.Random) -> Goal:
    day, said = _day(rng)
    return Goal(
        kind=kind,
        number=number,
        parcel=_parcel(kind, rng),
        day=day,
        days_said=said,
        details=tuple(rng.sample(DETAILS, len(DETAILS))),
        openings=tuple(_openings(spec, kind, number, rng)),
        no_number=rng.choice(NO_NUMBER),
    )


def _openings(spec: DialogueSpec, kind: Kind, number: str, rng: random.Random) -> Sequence[str]:
    """Four different forms of the intent: with the number where it is to be told at once, else without."""
    forms = [form for pattern in spec.intents[INTENTS[kind]].patterns for form in _one_each(pattern.forms, rng)]
    forms = [form for form in forms if ("{number}" in form) == (kind is Kind.TRACK_AT_ONCE)]
    chosen = rng.sample(forms, min(4, len(forms)))
    spoken = spell_digits(number, GROUPS)
    return [" ".join(form).replace("{number}", spoken) for form in chosen]


def _one_each(forms: Sequence[tuple[str, ...]], rng: random.Random) -> Sequence[tuple[str, ...]]:
    """A pattern with many forms is not likelier than one with few: up to two of each."""
    return rng.sample(forms, min(2, len(forms)))


def _number(rng: random.Random, taken: set[str]) -> str:
    while True:
        body = "".join(rng.choice("0123456789") for _ in range(DIGITS - 1))
        number = next(body + digit for digit in "0123456789" if luhn(body + digit))
        if number not in taken:
            return number


def _parcel(kind: Kind, rng: random.Random) -> dict[str, Any]:
    """A parcel that can still be moved where the caller wants that; else any."""
    status = "in_transit" if kind is Kind.CHANGE else rng.choice(("in_transit", "delivered", "out_for_delivery"))
    days = {"in_transit": rng.randint(1, 5), "delivered": -rng.randint(1, 5), "out_for_delivery": 0}[status]
    return {
        "status": status,
        "day": (TODAY + timedelta(days=days)).isoformat(),
        "place": rng.choice(PLACES),
        "window": rng.choice(WINDOWS),
    }


def _day(rng: random.Random) -> tuple[date, tuple[str, ...]]:
    """A day from tomorrow on, no Sunday, and how it is said."""
    ahead = rng.choice([days for days in range(1, 8) if (TODAY + timedelta(days=days)).weekday() != 6])
    day = TODAY + timedelta(days=ahead)
    weekday = WEEKDAYS[day.weekday()]
    forms = [f"on {weekday}", f"{weekday} please", weekday]
    if ahead == 1:
        forms += ["tomorrow", "tomorrow please"]
    return day, tuple(rng.sample(forms, 3))
