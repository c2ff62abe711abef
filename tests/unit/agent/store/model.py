"""What a store is, in memory and without a clock: the model that the real ones are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent.errors import Fenced
from agent.store.interface import CallRecord, CallState, Delivery, Event, StoredEvent, TimelineEntry
from agent.store.writes import delivery_id, event_id, split_delivery_id


@dataclass
class Pending:
    event: StoredEvent
    due_at: float
    attempt: int = 0
    claimed_until: float = 0.0
    failing_since: float | None = None


@dataclass
class ModelStore:
    calls: dict[str, CallRecord] = field(default_factory=dict)
    leases: dict[str, float] = field(default_factory=dict)
    events: dict[str, list[StoredEvent]] = field(default_factory=dict)
    lines: dict[str, list[TimelineEntry]] = field(default_factory=dict)
    pending: dict[str, Pending] = field(default_factory=dict)
    tries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    endpoints: dict[str, Sequence[str]] = field(default_factory=dict)

    async def create_call(self, record: CallRecord, events: Sequence[Event], *, lease_s: float, now: float) -> int:
        if record.call_id in self.calls:
            raise Fenced
        self.calls[record.call_id] = replace(record, fence=1)
        self.leases[record.call_id] = now + lease_s
        self._append(record.call_id, events, now)
        return 1

    async def update_call(
        self, call_id: str, fence: int, changes: dict[str, Any], events: Sequence[Event], *, now: float
    ) -> None:
        record = self._owned(call_id, fence)
        data = {**record.data, **changes.get("data", {})}
        fields = {} if record.state is CallState.ENDED else dict(changes)
        if "state" in fields:
            fields["state"] = CallState(fields["state"])
        self.calls[call_id] = replace(record, **{**fields, "data": data})
        self._append(call_id, events, now)

    async def end_call(
        self, call_id: str, fence: int, *, result: str, reason: str, data: dict[str, Any], event: Event, now: float
    ) -> bool:
        record = self._owned(call_id, fence)
        if record.state is CallState.ENDED:
            return False
        self._end(record, result, reason, {**record.data, **data}, event, now)
        return True

    async def reap(self, *, now: float, grace_s: float, event_name: str, skip_owners: Sequence[str] = ()) -> list[str]:
        late = [one for one in self.live() if self.leases[one.call_id] + grace_s < now]
        return self._reap([one for one in late if one.owner not in skip_owners], event_name, now)

    async def reap_owner(self, owner: str, *, now: float, event_name: str, keep: Sequence[str] = ()) -> list[str]:
        mine = [one for one in self.live() if one.owner == owner and one.call_id not in keep]
        return self._reap(mine, event_name, now)

    async def renew_leases(
        self, owner: str, calls: Sequence[tuple[str, int]], *, lease_s: float, now: float
    ) -> list[str]:
        lost = []
        for call_id, fence in calls:
            record = self.calls.get(call_id)
            if record is None or (record.owner, record.fence) != (owner, fence):
                lost.append(call_id)
            else:
                self.leases[call_id] = now + lease_s
        return lost

    async def get_call(self, call_id: str) -> CallRecord | None:
        return self.calls.get(call_id)

    async def events_of(self, call_id: str) -> list[StoredEvent]:
        return self.events.get(call_id, [])

    async def set_endpoints(self, endpoints: dict[str, Sequence[str]]) -> None:
        self.endpoints = endpoints

    async def claim(
        self, worker: str, *, limit: int, now: float, claim_s: float, endpoint: str | None = None
    ) -> list[Delivery]:
        found = []
        for key, one in sorted(self.pending.items(), key=lambda item: item[1].due_at):
            where, _, _ = split_delivery_id(key)
            if len(found) < limit and endpoint in (None, where) and self._may_go(key, one, now):
                one.claimed_until = now + claim_s
                found.append(
                    Delivery(delivery_id=key, endpoint=where, event=one.event, attempt=one.attempt, due_at=one.due_at)
                )
        return found

    async def delivered(self, delivery_id: str, *, attempt: dict[str, Any], now: float) -> None:
        self._record(delivery_id, attempt)
        self.pending.pop(delivery_id, None)

    async def failed(self, delivery_id: str, *, attempt: dict[str, Any], retry_at: float | None, now: float) -> None:
        self._record(delivery_id, attempt)
        one = self.pending[delivery_id]
        if retry_at is None:
            del self.pending[delivery_id]
        else:
            one.attempt, one.due_at, one.claimed_until = one.attempt + 1, retry_at, 0.0
            one.failing_since = now if one.failing_since is None else one.failing_since

    async def attempts(self, call_id: str) -> list[dict[str, Any]]:
        return self.tries.get(call_id, [])

    async def backlog(self) -> int:
        return len(self.pending)

    def live(self) -> list[CallRecord]:
        return [one for one in self.calls.values() if one.state is not CallState.ENDED]

    def _owned(self, call_id: str, fence: int) -> CallRecord:
        record = self.calls.get(call_id)
        if record is None or record.fence != fence:
            raise Fenced
        return record

    def _end(
        self, record: CallRecord, result: str, reason: str, data: dict[str, Any], event: Event, now: float
    ) -> None:
        end = {"state": CallState.ENDED, "result": result, "reason": reason, "data": data, "ended_at": now}
        self.calls[record.call_id] = replace(record, **end)
        self._append(record.call_id, [event], now)

    def _reap(self, records: list[CallRecord], event_name: str, now: float) -> list[str]:
        event = Event(name=event_name, at=now, data={"result": "server_error", "reason": "gateway_lost"})
        for record in records:
            lost = replace(record, fence=record.fence + 1)
            self._end(lost, "server_error", "gateway_lost", record.data, event, now)
        return [record.call_id for record in records]

    def _append(self, call_id: str, events: Sequence[Event], now: float) -> None:
        told = self.events.setdefault(call_id, [])
        for event in events:
            seq = len(told) + 1
            stored = StoredEvent(
                event_id=event_id(call_id, seq), call_id=call_id, seq=seq, name=event.name, at=event.at, data=event.data
            )
            told.append(stored)
            for endpoint, names in self.endpoints.items():
                if "*" in names or event.name in names:
                    self.pending[delivery_id(endpoint, call_id, seq)] = Pending(stored, now)

    def _may_go(self, key: str, one: Pending, now: float) -> bool:
        if one.due_at > now or one.claimed_until > now:
            return False
        endpoint, call_id, seq = split_delivery_id(key)
        for other, that in self.pending.items():
            where, call, other_seq = split_delivery_id(other)
            if (where, call) != (endpoint, call_id) or other == key:
                continue
            if that.claimed_until > now:
                return False
            stuck = that.failing_since is not None and that.failing_since <= now - 60
            if other_seq < seq and (not stuck or that.due_at <= now):
                return False
        return True

    def _record(self, key: str, attempt: dict[str, Any]) -> None:
        endpoint, call_id, seq = split_delivery_id(key)
        name = self.events[call_id][seq - 1].name
        row = {"endpoint": endpoint, "event_id": event_id(call_id, seq), "name": name, **attempt}
        self.tries.setdefault(call_id, []).append(row)
