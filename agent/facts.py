"""What a dialogue tells of its call: facts for the record, the metrics and whoever watches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A turn was committed: for the record."""

    turn: int
    text: str
    confidence: float
    reason: str
    early: bool
    """The answer had been prepared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    heard: str
    unheard: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoke:
    """An utterance is over: what was heard of it is what is known to have been said."""

    text: str
    heard: str
    complete: bool
    interruptible: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Responded:
    """The first sample of an answer was played out ``latency_ms`` after the caller's last speech."""

    latency_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlapped:
    """An overlap is over: ``barge_in``, ``backchannel`` or ``false_alarm``."""

    verdict: str
    stop_ms: int | None = None
    """From the caller's onset until our voice was cut, where that is what ended the overlap."""


Fact = Turned | Interrupted | Spoke | Responded | Overlapped


class Teller(Protocol):
    """Takes what a dialogue tells."""

    def tell(self, fact: Fact) -> None: ...

    def note(self, kind: str, *, at: int | None, **data: Any) -> None:
        """One line of the timeline. ``at``: sample of the seat in use; ``None`` = now."""
        ...
