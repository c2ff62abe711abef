"""Store and Outbox: what is kept of calls, and events that are written in the same transaction as what they tell.

Every write carries the fence under which its writer owns the call; a store refuses an older one (``Fenced``).
``now`` is aware-UTC epoch seconds, passed in by the caller; leases are kept on the store's own clock where it has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class CallState(StrEnum):
    OFFERED = "offered"
    RINGING = "ringing"
    ACTIVE = "active"
    HELD = "held"
    TRANSFERRING = "transferring"
    DRAINING = "draining"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call as it is stored and shown."""

    call_id: str
    tenant: str
    agent: str
    transport: str
    direction: str
    from_uri: str
    to_uri: str
    state: CallState
    owner: str
    """Gateway that owns the call."""
    fence: int
    created_at: float
    answered_at: float | None = None
    ended_at: float | None = None
    result: str = ""
    """``success client_error server_error upstream_error indeterminate``, empty while it lives."""
    reason: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    """Everything else that is shown: metrics of the call, recording, variables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event for webhooks. ``seq`` is given by the store, gapless per call from 1."""

    name: str
    """From ``agent.events.names.WebhookEvent``."""
    at: float
    """Aware-UTC epoch seconds when it happened."""
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    event_id: str
    """The same for each delivery attempt (``webhook-id``)."""
    call_id: str
    seq: int
    name: str
    at: float
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One line of a call's timeline. ``at_ms`` is media time since the call was answered."""

    at_ms: int
    kind: str
    """``floor turn words utterance overlap tool webhook leg note``."""
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event that an endpoint has not acknowledged yet."""

    delivery_id: str
    endpoint: str
    event: StoredEvent
    attempt: int
    """Attempts made so far."""
    due_at: float


class Store(Protocol):
    """Calls, leases, timelines. Raises ``StoreUnavailable`` when the store is away, ``Fenced`` when we lost a call."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def create_call(self, record: CallRecord, events: Sequence[Event], *, lease_s: float, now: float) -> int:
        """Store a new call with its first events and take its lease; returns the fence."""
        ...

    async def update_call(
        self, call_id: str, fence: int, changes: dict[str, Any], events: Sequence[Event], *, now: float
    ) -> None:
        """Change fields of the record (``data`` is merged) and append events, atomically."""
        ...

    async def end_call(
        self, call_id: str, fence: int, *, result: str, reason: str, data: dict[str, Any], event: Event, now: float
    ) -> bool:
        """End the call and append its ``call.ended``. ``False`` if it had ended before (nothing is written)."""
        ...

    async def renew_leases(
        self, owner: str, calls: Sequence[tuple[str, int]], *, lease_s: float, now: float
    ) -> list[str]:
        """Renew ``(call_id, fence)`` leases; returns the calls that are no longer ours."""
        ...

    async def reap(self, *, now: float, grace_s: float, event_name: str, skip_owners: Sequence[str] = ()) -> list[str]:
        """End every live call whose lease expired more than ``grace_s`` ago (result ``server_error``, reason
        ``gateway_lost``), each with one event; returns their ids."""
        ...

    async def reap_owner(self, owner: str, *, now: float, event_name: str, keep: Sequence[str] = ()) -> list[str]:
        """End every live call of ``owner`` (it has just restarted and has none but ``keep``), as ``reap`` does."""
        ...

    async def get_call(self, call_id: str) -> CallRecord | None: ...

    async def list_calls(
        self, *, limit: int = 50, before: str | None = None, state: CallState | None = None
    ) -> list[CallRecord]:
        """Newest first; ``before`` is a call id to page on."""
        ...

    async def append_timeline(self, call_id: str, entries: Sequence[TimelineEntry]) -> None: ...

    async def timeline(self, call_id: str) -> list[TimelineEntry]: ...

    async def events_of(self, call_id: str) -> list[StoredEvent]: ...


class Outbox(Protocol):
    """Events waiting for delivery. Endpoints are named; each event is delivered to each endpoint that wants it."""

    async def set_endpoints(self, endpoints: dict[str, Sequence[str]]) -> None:
        """Endpoint name to the event names it wants (``*`` for all). Applies to events written from now on."""
        ...

    async def claim(
        self, worker: str, *, limit: int, now: float, claim_s: float, endpoint: str | None = None
    ) -> list[Delivery]:
        """Due deliveries, at most one per (endpoint, call), in ``seq`` order inside a call; claimed for ``claim_s``.

        ``endpoint`` asks for that one's only.

        A delivery that has been failing for 60 s no longer blocks the later ones of its call."""
        ...

    async def delivered(self, delivery_id: str, *, attempt: dict[str, Any], now: float) -> None: ...

    async def failed(self, delivery_id: str, *, attempt: dict[str, Any], retry_at: float | None, now: float) -> None:
        """Record a failed attempt; ``retry_at`` ``None`` makes it a dead letter."""
        ...

    async def attempts(self, call_id: str) -> list[dict[str, Any]]:
        """Attempts of a call's deliveries, oldest first: endpoint, event_id, name, at, status, latency_ms, error."""
        ...

    async def backlog(self) -> int: ...
