"""What the brain waits for from the caller. An input of ears and floor."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class ExpectKind(StrEnum):
    """Kinds of answers that change how a turn is heard and ended."""

    UNKNOWN = "unknown"
    """Nothing is known (never a wrong guess: a wrong expectation is worse than none)."""
    FREE = "free"
    """Free speech."""
    YES_NO = "yes_no"
    DIGITS = "digits"
    DATE = "date"
    PHRASES = "phrases"
    """One of the given phrases (intents)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """One expectation. The union of all fields is live: digits *and* phrases may be expected together."""

    kind: ExpectKind = ExpectKind.UNKNOWN
    digits: int | None = None
    """How many digits make the answer complete; ``None`` for any number."""
    over: bool = False
    """A number of known length is listened to beyond it: one digit too many is worth telling the caller at once."""
    check: str | None = None
    """Check digit rule (``luhn``, ``mod10_weighted`` …) or ``None``."""
    phrases: tuple[str, ...] = ()
    """Patterns: words, ``( a | b )`` choices and ``[ optional ]`` parts, lower case; as in JSGF."""
    also_yes_no: bool = False
    """Yes and no (and their forms) are understood besides ``kind``."""
    words: tuple[str, ...] = ()
    """Single words, lower case, that are likely in an answer in the caller's own words."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Expect:
        return cls(
            kind=ExpectKind(data["kind"]),
            digits=data.get("digits"),
            over=bool(data.get("over", False)),
            check=data.get("check"),
            phrases=tuple(data.get("phrases", ())),
            also_yes_no=bool(data.get("also_yes_no", False)),
            words=tuple(data.get("words", ())),
        )


NOTHING_KNOWN = Expect()
