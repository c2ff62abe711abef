"""Writes of a call as data: what stores apply, what the journal keeps, what is replayed.

Each write of a call carries its ``number`` (1, 2, 3 … per call). A store keeps the last number that it applied and
ignores the ones up to it, so that a write whose answer was lost may be sent again. ``number`` 0 is not checked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from agent.events.names import WebhookEvent
from agent.store.interface import CallRecord, CallState, Event, TimelineEntry

CHANGEABLE = frozenset(["agent", "transport", "from_uri", "to_uri", "state", "answered_at", "data"])
"""Fields that ``update_call`` may change. Result, reason and end are written by ``end_call`` only."""


class Status(StrEnum):
    """What a store did with a write."""

    DONE = "done"
    DUPLICATE = "duplicate"
    """Applied before; nothing was written now."""
    FENCED = "fenced"
    """Somebody else owns the call."""
    UNKNOWN = "unknown"
    """There is no such call."""
    GAP = "gap"
    """A write before this one is missing."""
    ENDED = "ended"
    """The call had ended before; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    status: Status
    fence: int = 0
    """Fence of a created call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A new call with its lease. ``seq`` and ``fence`` continue a call whose store lost it."""

    call_id: str
    number: int = 0
    fence: int = 1
    seq: int = 0
    """Events that the call had before these."""
    record: CallRecord
    events: tuple[Event, ...] = ()
    lease_s: float
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    call_id: str
    number: int = 0
    fence: int
    seq: int = 0
    """Events that the call had before these (not checked; used when a call is restored)."""
    changes: dict[str, Any] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    call_id: str
    number: int = 0
    fence: int
    seq: int = 0
    result: str
    reason: str
    data: dict[str, Any] = field(default_factory=dict)
    events: tuple[Event, ...]
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Entries of a call's timeline. ``fence`` 0 is not checked."""

    call_id: str
    number: int = 0
    fence: int = 0
    seq: int = 0
    entries: tuple[TimelineEntry, ...]


Write = Create | Update | End | Timeline

_KINDS: dict[str, type[Create] | type[Update] | type[End] | type[Timeline]] = {
    "create": Create,
    "update": Update,
    "end": End,
    "timeline": Timeline,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def cleaned(value: Any) -> Any:
    """Text without what UTF-8 cannot hold (lone surrogates from a peer's bytes); anything else as it is."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def cleaned_record(record: CallRecord) -> CallRecord:
    texts = {name: cleaned(getattr(record, name)) for name in ("agent", "transport", "from_uri", "to_uri", "reason")}
    return replace(record, **texts)


def checked_changes(changes: dict[str, Any], events: Sequence[Event]) -> dict[str, Any]:
    """Changes fit to be stored. Raises ``ValueError`` for what ``update_call`` may not do: a bug of the caller."""
    if unknown := set(changes) - CHANGEABLE:
        raise ValueError(f"update_call cannot change {', '.join(sorted(unknown))}")
    if changes.get("state") == CallState.ENDED:
        raise ValueError("update_call cannot end a call: use end_call")
    if any(event.name == WebhookEvent.CALL_ENDED for event in events):
        raise ValueError("call.ended is written by end_call only")
    return {name: cleaned(value) for name, value in changes.items()}


def dump_json(value: Any) -> str:
    """Compact JSON in ASCII; what JSON does not know is written as text."""
    return json.dumps(value, separators=(",", ":"), default=str)


def check_plain(*values: Any) -> None:
    """Raise ``ValueError`` for what JSON cannot hold (keys that are no text, circles): a bug of the caller."""
    try:
        dump_json(values)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"cannot be stored: {error}") from error


def to_line(write: Write) -> str:
    """One write as one line of JSON, without the line feed."""
    return dump_json({"kind": _NAMES[type(write)], **asdict(write)})


def from_line(line: str | bytes) -> Write:
    """The write of a line. Raises ``ValueError`` where it is not one."""
    try:
        fields = json.loads(line)
        kind = _KINDS[fields.pop("kind")]
        if "events" in fields:
            fields["events"] = tuple(Event(**event) for event in fields["events"])
        if "entries" in fields:
            fields["entries"] = tuple(TimelineEntry(**entry) for entry in fields["entries"])
        if "record" in fields:
            record = fields["record"]
            fields["record"] = CallRecord(**{**record, "state": CallState(record["state"])})
        return kind(**fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a write: {error!r}") from error


def event_id(call_id: str, seq: int) -> str:
    """Id of a call's event: follows from its place, so that a replayed event keeps it."""
    return f"evt_{call_id}_{seq}"


def delivery_id(endpoint: str, call_id: str, seq: int) -> str:
    return f"{seq}|{endpoint}|{call_id}"


def split_delivery_id(text: str) -> tuple[str, str, int]:
    """``(endpoint, call_id, seq)``. Raises ``ValueError``."""
    seq, endpoint, call_id = text.split("|", 2)
    return endpoint, call_id, int(seq)


def wanting(endpoints: dict[str, frozenset[str]], name: str) -> list[str]:
    """Endpoints that want an event, in their order."""
    return [endpoint for endpoint, names in endpoints.items() if "*" in names or name in names]
