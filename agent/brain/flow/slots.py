"""What a turn says about the slot that is being asked for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from agent.brain.flow.dates import read_date
from agent.brain.flow.digits import CHECKS, correct_digits, read_digits
from agent.brain.flow.spec import SlotKind, SlotSpec
from agent.brain.flow.yes_no import read_yes_no


class Reading(StrEnum):
    NOTHING = "nothing"
    """Nothing about this slot."""
    VALUE = "value"
    PART = "part"
    """Digits, but more must come."""
    TOO_MANY = "too_many"
    INVALID = "invalid"
    """A value that breaks a rule of the slot."""
    UNCLEAR = "unclear"
    """A correction, but of what cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotReading:
    reading: Reading
    value: str = ""


_NOTHING = SlotReading(reading=Reading.NOTHING)


def read_slot(
    slot: SlotSpec, tokens: Sequence[str], words: Sequence[str], *, today: date, partial: str = ""
) -> SlotReading:
    """Read ``slot`` from a turn: normalised ``tokens``, ``words`` as they were, digits said before as ``partial``."""
    match slot.kind:
        case SlotKind.DIGITS:
            return _digits(slot, tokens, partial)
        case SlotKind.DATE:
            return _date(slot, tokens, today)
        case SlotKind.YES_NO:
            answer = read_yes_no(tokens).answer
            return _NOTHING if answer is None else SlotReading(reading=Reading.VALUE, value="yes" if answer else "no")
        case SlotKind.TEXT:
            return SlotReading(reading=Reading.VALUE, value=" ".join(words)) if tokens else _NOTHING


def correct_slot(slot: SlotSpec, value: str, tokens: Sequence[str], *, today: date) -> SlotReading:
    """What an answer to a readback makes of ``value``: the new value, or nothing where it is not about it."""
    if slot.kind is SlotKind.DATE:
        return _date(slot, tokens, today)
    if slot.kind is not SlotKind.DIGITS:
        return _NOTHING
    reply = correct_digits(value, tokens, check=slot.check)
    if reply.unclear:
        return SlotReading(reading=Reading.UNCLEAR)
    return _NOTHING if reply.value is None else check_digits(slot, reply.value)


def check_digits(slot: SlotSpec, digits: str) -> SlotReading:
    """A whole number against the slot's length and check digit."""
    if slot.length is not None and len(digits) < slot.length:
        return SlotReading(reading=Reading.PART, value=digits)
    if slot.length is not None and len(digits) > slot.length:
        return SlotReading(reading=Reading.TOO_MANY, value=digits)
    reading = Reading.VALUE if CHECKS[slot.check](digits) else Reading.INVALID
    return SlotReading(reading=reading, value=digits)


def _digits(slot: SlotSpec, tokens: Sequence[str], partial: str) -> SlotReading:
    heard = read_digits(tokens, length=slot.length, check=slot.check)
    if not heard.digits:
        return _NOTHING
    whole = slot.length is None or len(heard.digits) >= slot.length
    if not partial or whole:
        return check_digits(slot, heard.digits)
    joined = read_digits([*partial, *tokens], length=slot.length, check=slot.check).digits
    return check_digits(slot, joined)


def _date(slot: SlotSpec, tokens: Sequence[str], today: date) -> SlotReading:
    day = read_date(tokens, today)
    if day is None:
        return _NOTHING
    first, last = today + timedelta(days=slot.earliest_days), today + timedelta(days=slot.latest_days)
    allowed = first <= day <= last and day.weekday() not in slot.not_on
    return SlotReading(reading=Reading.VALUE if allowed else Reading.INVALID, value=day.isoformat())
