"""What follows an attempt to deliver. Pure: ``now`` and ``rng`` are passed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from random import Random
from typing import Final

SCHEDULE_S: Final = (0.0, 5.0, 30.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0)
"""Pause before each attempt (operations.md 3.1): about 30 hours in all."""
JITTER: Final = 0.2
RETRY_AFTER_LIMIT_S: Final = 3600.0
GONE: Final = 410


class Verdict(Enum):
    DELIVERED = auto()
    RETRY = auto()
    DEAD = auto()
    """The schedule is over."""
    DISABLED = auto()
    """The endpoint said that it is gone: nothing goes there any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    verdict: Verdict
    retry_at: float | None = None


def decide(*, attempt: int, status: int | None, headers: Mapping[str, str], now: float, rng: Random) -> Next:
    """``attempt``: attempts made before this one. ``status`` ``None``: no answer. ``now``: epoch seconds."""
    if status is not None and 200 <= status < 300:
        return Next(verdict=Verdict.DELIVERED)
    if status == GONE:
        return Next(verdict=Verdict.DISABLED)
    following = attempt + 1
    if following >= len(SCHEDULE_S):
        return Next(verdict=Verdict.DEAD)
    pause_s = SCHEDULE_S[following] * rng.uniform(1 - JITTER, 1 + JITTER)
    if status in (429, 503):
        pause_s = max(pause_s, retry_after_s(headers.get("Retry-After", ""), now=now))
    return Next(verdict=Verdict.RETRY, retry_at=now + pause_s)


def retry_after_s(text: str, *, now: float) -> float:
    """Seconds of a ``Retry-After`` (a number or a date; RFC 9110 §10.2.3), at most an hour; 0 for anything else."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        wanted = float(text[:9])
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError):
            return 0.0
        wanted = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    return min(max(wanted, 0.0), RETRY_AFTER_LIMIT_S)


class Breaker:
    """Keeps an endpoint that gives no answer from holding attempts: after five in a row one goes each 30 s."""

    FAILURES: Final = 5
    PAUSE_S: Final = 30.0

    def __init__(self) -> None:
        self._failures = 0
        self._next_probe_at = 0.0

    @property
    def is_open(self) -> bool:
        return self._failures >= self.FAILURES

    def room(self, *, limit: int, in_flight: int, now: float) -> int:
        """Attempts that may begin now."""
        if not self.is_open:
            return max(limit - in_flight, 0)
        return 1 if in_flight == 0 and now >= self._next_probe_at else 0

    def answered(self) -> None:
        """Any status counts as an answer."""
        self._failures = 0

    def unanswered(self, *, now: float) -> None:
        self._failures += 1
        if self.is_open:
            self._next_probe_at = now + self.PAUSE_S
