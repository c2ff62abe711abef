"""The client: one method per operation of the API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from agent.client.http import Http, part
from agent.client.shapes import (
    Agent,
    AgentDetail,
    AgentVersion,
    Attempt,
    Call,
    CallEvents,
    Calls,
    Endpoint,
    EndpointSecret,
    LiveEvent,
    Replayed,
    Said,
    TimelineEntry,
    Verdict,
    Waveform,
    Whoami,
    Worker,
)

STREAM_SILENCE_S = 45.0
"""The service says something every 15 s: a stream that is silent for longer is broken."""


class Crosstalk:
    """A service and a key. Every method raises ``ApiError`` for a problem, ``OSError`` when no answer came."""

    def __init__(self, url: str, key: str = "", *, timeout_s: float = 15.0) -> None:
        self._http = Http(url, key, timeout_s)

    # --- calls ---

    def place_call(
        self,
        to: str,
        *,
        caller: str | None = None,
        agent: str | None = None,
        variables: Mapping[str, Any] | None = None,
        record: bool | None = None,
        ring_limit_s: int | None = None,
        idempotency_key: str | None = None,
    ) -> Call:
        """Place a call. With an ``idempotency_key`` it is safe to ask again after an ``OSError``."""
        body = {
            "to": to,
            "from": caller,
            "agent": agent,
            "variables": dict(variables) if variables is not None else None,
            "record": record,
            "ring_limit_s": ring_limit_s,
        }
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else {}
        return cast("Call", self._http.json("POST", "/v1/calls", body=body, headers=headers))

    def calls(
        self, *, limit: int | None = None, before: str | None = None, state: str | None = None, live: bool = False
    ) -> Calls:
        """One page, newest first. ``live``: those that are live on this gateway."""
        query = {"limit": limit, "before": before, "state": state, "live": "true" if live else None}
        return cast("Calls", self._http.json("GET", "/v1/calls", query=query))

    def all_calls(self, *, state: str | None = None) -> Iterator[Call]:
        """Every call, page after page."""
        before: str | None = None
        while True:
            page = self.calls(limit=200, before=before, state=state)
            yield from page["calls"]
            before = page["next"]
            if before is None:
                return

    def call(self, call_id: str) -> Call:
        return cast("Call", self._of(call_id, ""))

    def timeline(self, call_id: str) -> list[TimelineEntry]:
        return cast("list[TimelineEntry]", self._of(call_id, "/timeline")["entries"])

    def events(self, call_id: str) -> CallEvents:
        return cast("CallEvents", self._of(call_id, "/events"))

    def transcript(self, call_id: str) -> list[Said]:
        return cast("list[Said]", self._of(call_id, "/transcript")["items"])

    def waveform(
        self, call_id: str, *, points: int | None = None, from_ms: int | None = None, to_ms: int | None = None
    ) -> Waveform:
        """Of the whole recording, or of a part of it."""
        return cast("Waveform", self._of(call_id, "/waveform", points=points, from_ms=from_ms, to_ms=to_ms))

    def recording(self, call_id: str, *, start: int = 0, end: int | None = None) -> bytes:
        """The WAV file, or its bytes ``start`` to ``end`` (included)."""
        wanted = {} if (start, end) == (0, None) else {"Range": f"bytes={start}-{'' if end is None else end}"}
        with self._http.open("GET", f"/v1/calls/{part(call_id)}/recording", headers=wanted) as answer:
            return cast("bytes", answer.read())

    def say(self, call_id: str, text: str, *, interruptible: bool = True) -> None:
        self._steer(call_id, "say", {"text": text, "interruptible": interruptible})

    def transfer(self, call_id: str, target: str) -> None:
        self._steer(call_id, "transfer", {"target": target})

    def hang_up(self, call_id: str) -> None:
        self._steer(call_id, "hangup", None)

    def _of(self, call_id: str, what: str, **query: Any) -> Any:
        return self._http.json("GET", f"/v1/calls/{part(call_id)}{what}", query=query)

    def _steer(self, call_id: str, what: str, body: Mapping[str, Any] | None) -> None:
        self._http.json("POST", f"/v1/calls/{part(call_id)}/{what}", body=body)

    # --- live events ---

    def watch(
        self, *, call_id: str | None = None, kinds: Sequence[str] = (), last_event_id: str = ""
    ) -> Iterator[LiveEvent]:
        """Live events, until the service ends the stream or the caller stops reading.

        Raises ``TimeoutError`` when the stream has broken; ask again with the last ``event_id`` that came.
        """
        query = {"call_id": call_id, "kinds": ",".join(kinds) or None}
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        with self._http.open("GET", "/v1/events", query=query, headers=headers, timeout_s=STREAM_SILENCE_S) as answer:
            fields: dict[str, str] = {}
            for raw in answer:
                line = raw.decode().rstrip("\n")
                name, colon, value = line.partition(": ")
                if name and colon:
                    fields[name] = value
                elif not line:
                    if "data" in fields:
                        yield _live(fields)
                    fields = {}

    # --- agents ---

    def agents(self) -> list[Agent]:
        return cast("list[Agent]", self._http.json("GET", "/v1/agents")["agents"])

    def agent(self, name: str) -> AgentDetail:
        return cast("AgentDetail", self._http.json("GET", f"/v1/agents/{part(name)}"))

    def agent_yaml(self, name: str, version: int) -> str:
        return cast("str", self._http.json("GET", f"/v1/agents/{part(name)}/versions/{version}")["yaml"])

    def validate_agent(self, name: str, yaml: str) -> Verdict:
        return cast("Verdict", self._http.json("POST", f"/v1/agents/{part(name)}/validate", body={"yaml": yaml}))

    def put_agent(self, name: str, yaml: str, *, note: str = "", publish: bool = False) -> AgentVersion:
        body = {"yaml": yaml, "note": note, "publish": publish}
        return cast("AgentVersion", self._http.json("PUT", f"/v1/agents/{part(name)}", body=body))

    def publish_agent(self, name: str, version: int) -> AgentVersion:
        path = f"/v1/agents/{part(name)}/publish"
        return cast("AgentVersion", self._http.json("POST", path, body={"version": version}))

    def roll_back_agent(self, name: str) -> AgentVersion:
        return cast("AgentVersion", self._http.json("POST", f"/v1/agents/{part(name)}/rollback"))

    # --- webhooks ---

    def webhooks(self) -> list[Endpoint]:
        return cast("list[Endpoint]", self._http.json("GET", "/v1/webhooks")["endpoints"])

    def create_webhook(self, name: str, url: str, *, events: Sequence[str] = ("*",)) -> EndpointSecret:
        """The secret is shown this once."""
        body = {"name": name, "url": url, "events": list(events)}
        return cast("EndpointSecret", self._http.json("POST", "/v1/webhooks", body=body))

    def rotate_webhook(self, name: str, *, overlap_s: int = 86_400) -> EndpointSecret:
        path = f"/v1/webhooks/{part(name)}/rotate"
        return cast("EndpointSecret", self._http.json("POST", path, body={"overlap_s": overlap_s}))

    def test_webhook(self, name: str) -> Attempt:
        return cast("Attempt", self._http.json("POST", f"/v1/webhooks/{part(name)}/test"))

    def replay_webhook(self, name: str, call_id: str, *, seq: int | None = None) -> list[Replayed]:
        path = f"/v1/webhooks/{part(name)}/replay"
        found = self._http.json("POST", path, body={"call_id": call_id, "seq": seq})
        return cast("list[Replayed]", found["attempts"])

    def delete_webhook(self, name: str) -> None:
        self._http.json("DELETE", f"/v1/webhooks/{part(name)}")

    # --- service ---

    def health(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self._http.json("GET", "/v1/health"))

    def workers(self) -> list[Worker]:
        return cast("list[Worker]", self._http.json("GET", "/v1/workers")["workers"])

    def whoami(self) -> Whoami:
        return cast("Whoami", self._http.json("GET", "/v1/whoami"))


def _live(fields: Mapping[str, str]) -> LiveEvent:
    told = json.loads(fields["data"])
    return LiveEvent(
        event_id=fields.get("id", ""),
        kind=fields.get("event", ""),
        call_id=told.get("call_id", ""),
        at_ms=told.get("at_ms", 0),
        data=told.get("data", told),
    )
