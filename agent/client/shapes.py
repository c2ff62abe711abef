"""What the API answers, as types. The page docs/reference/rest.md says what each member means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypedDict


class Live(TypedDict):
    state: str
    floor: str
    media_ms: int
    worker: str
    row: int | None
    turns: int
    interruptions: int
    response_ms: int | None
    quality: dict[str, Any]
    is_recorded: bool


class _Call(TypedDict):
    call_id: str
    tenant: str
    agent: str
    transport: str
    direction: Literal["inbound", "outbound"]
    from_uri: str
    to_uri: str
    state: str
    owner: str
    fence: int
    created_at: float
    answered_at: float | None
    ended_at: float | None
    result: str
    reason: str
    data: dict[str, Any]


class Call(_Call, total=False):
    live: Live


class Calls(TypedDict):
    calls: list[Call]
    next: str | None


class TimelineEntry(TypedDict):
    at_ms: int
    kind: str
    data: dict[str, Any]


class StoredEvent(TypedDict):
    event_id: str
    call_id: str
    seq: int
    name: str
    at: float
    data: dict[str, Any]


class DeliveryAttempt(TypedDict):
    endpoint: str
    event_id: str
    name: str
    at: float
    status: int | None
    latency_ms: int
    error: str


class CallEvents(TypedDict):
    events: list[StoredEvent]
    attempts: list[DeliveryAttempt]


class Said(TypedDict):
    at_ms: int
    speaker: Literal["caller", "agent"]
    text: str
    unheard: str
    complete: bool


class Waveform(TypedDict):
    duration_ms: int
    from_ms: int
    length_ms: int
    points: int
    caller: list[float]
    agent: list[float]


class Agent(TypedDict):
    name: str
    is_default: bool
    brain: str
    active: int
    versions: int


class AgentVersion(TypedDict):
    version: int
    created_at: float | None
    note: str
    sha256: str
    is_active: bool


class AgentDetail(TypedDict):
    name: str
    is_default: bool
    brain: str
    active: int
    versions: list[AgentVersion]


class DialogueProblem(TypedDict):
    line: int
    reason: str


class Verdict(TypedDict):
    valid: bool
    problems: list[DialogueProblem]


class Endpoint(TypedDict):
    name: str
    url: str
    events: list[str]
    source: Literal["configuration", "api"]
    created_at: float | None
    is_disabled: bool
    rotates_until: float | None


class EndpointSecret(TypedDict):
    endpoint: Endpoint
    secret: str


class Attempt(TypedDict):
    at: float
    status: int | None
    latency_ms: int
    error: str


class Replayed(Attempt):
    event_id: str
    name: str


class _Worker(TypedDict):
    name: str
    pid: int
    rows: int
    seats: int
    model: str
    step_ms: int
    measured_p99_ms: dict[str, float]


class Worker(_Worker, total=False):
    """The rest once it has reported."""

    step_p50_ms: float
    step_p99_ms: float
    late_rows: int
    overruns: int
    failed_rows: int
    degradation: int
    recognisers: dict[str, Any]


class Whoami(TypedDict):
    name: str
    tenant: str
    scopes: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEvent:
    """One event of ``Crosstalk.watch``."""

    event_id: str
    """For ``last_event_id``; empty for ``lost``."""
    kind: str
    """``state floor turn words utterance …``, or ``lost``: some were dropped because we did not read in time."""
    call_id: str
    at_ms: int
    data: dict[str, Any]
