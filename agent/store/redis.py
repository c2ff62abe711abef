"""Store and outbox in Redis or Valkey: one atomic script per call, indexes beside it as hints.

The truth about a call lies in its own slot (``redis_script``). ``PREFIX:live``, ``PREFIX:calls`` and
``PREFIX:{wh:ENDPOINT}:due`` lie elsewhere and only say where to look: they are written before and after the step, so
that a crash between leaves a hint too many and never one too few.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from agent.errors import StoreUnavailable
from agent.events.names import RESULT_OF, EndReason
from agent.store.facade import WritingStore
from agent.store.interface import CallRecord, CallState, Delivery, Event, StoredEvent, TimelineEntry
from agent.store.redis_client import TIMEOUT_S, Command, RedisClient
from agent.store.redis_script import CALL_KEYS, CALL_SCRIPT, HINT_SCRIPT
from agent.store.writes import (
    Create,
    End,
    Outcome,
    Status,
    Timeline,
    Update,
    Write,
    delivery_id,
    dump_json,
    event_id,
    split_delivery_id,
    wanting,
)

PREFIX = "ct"
LOOK_AGAIN_S = 30.0
"""A live call without a pending delivery is looked at again after that: only a lost hint would need it."""
ORPHAN_S = 60.0
"""A hint without a call is removed when it is that old."""
RECORD_FIELDS = (
    *("call_id", "tenant", "agent", "transport", "direction", "from_uri", "to_uri", "state", "owner", "fence"),
    *("created_at", "answered_at", "ended_at", "result", "reason"),
)


class RedisStore(WritingStore):
    """``url`` is ``redis://[user:password@]host:port/db`` or ``rediss://…``. Needs the extra ``redis``."""

    def __init__(self, url: str, *, prefix: str = PREFIX, timeout_s: float = TIMEOUT_S) -> None:
        self._client = RedisClient(url, name="crosstalk", timeout_s=timeout_s)
        self._prefix = prefix
        self._endpoints: dict[str, frozenset[str]] = {}

    async def open(self) -> None:
        try:
            await self._client.check_server([CALL_SCRIPT, HINT_SCRIPT])
        except StoreUnavailable:
            await self._client.close()
            raise

    async def close(self) -> None:
        await self._client.close()

    async def ping(self) -> None:
        await self._client.check_server([CALL_SCRIPT, HINT_SCRIPT])

    # --- Store ---

    async def apply(self, writes: Sequence[Write]) -> list[Outcome]:
        steps = [self._step(write.call_id, *_arguments(write, self._endpoints)) for write in writes]
        hints = self._hints(writes)
        before = [*hints, *self._indexes(writes)]
        answers = await self._client.run([*before, *steps, *hints])
        found = answers[len(before) : len(before) + len(steps)]
        outcomes = [Outcome(status=Status(status), fence=int(fence)) for status, fence in found]
        ended = [
            write.call_id
            for write, outcome in zip(writes, outcomes, strict=True)
            if isinstance(write, End) and outcome.status in (Status.DONE, Status.ENDED)
        ]
        if ended:
            await self._client.run([("ZREM", self._key("live"), *ended)])
        return outcomes

    async def renew_leases(
        self, owner: str, calls: Sequence[tuple[str, int]], *, lease_s: float, now: float
    ) -> list[str]:
        if not calls:
            return []
        steps = [self._step(call_id, "renew", owner, fence, int(lease_s * 1000)) for call_id, fence in calls]
        answers = list(zip(calls, await self._client.run(steps), strict=True))
        # The hint moves after the lease, and only for what is ours: one too early costs a look, one too late a call.
        hints = [part for (call_id, _), answer in answers if answer == "ours" for part in (now + lease_s, call_id)]
        if hints:
            await self._client.run([("ZADD", self._key("live"), "XX", *hints)])
        return [call_id for (call_id, _), answer in answers if answer == "lost"]

    async def expired(self, *, now: float, skip_owners: Sequence[str] = ()) -> list[str]:
        (candidates,) = await self._client.run([("ZRANGEBYSCORE", self._key("live"), "-inf", now)])
        if not candidates:
            return []
        steps = [self._step(call_id, "expired", len(skip_owners), *skip_owners) for call_id in candidates]
        answers = await self._client.run(steps)
        return [call_id for call_id, answer in zip(candidates, answers, strict=True) if answer == "yes"]

    async def reap(
        self,
        *,
        now: float,
        grace_s: float,
        event_name: str,
        skip_owners: Sequence[str] = (),
        only: Collection[str] | None = None,
    ) -> list[str]:
        (candidates,) = await self._client.run([("ZRANGEBYSCORE", self._key("live"), "-inf", now - grace_s)])
        candidates = [call_id for call_id in candidates if only is None or call_id in only]
        return await self._reap(candidates, "", grace_s, event_name, skip_owners, now=now)

    async def reap_owner(self, owner: str, *, now: float, event_name: str, keep: Sequence[str] = ()) -> list[str]:
        (live,) = await self._client.run([("ZRANGE", self._key("live"), 0, -1)])
        candidates = [call_id for call_id in live if call_id not in keep]
        return await self._reap(candidates, owner, 0.0, event_name, (), now=now)

    async def _reap(
        self, call_ids: Sequence[str], owner: str, grace_s: float, event_name: str, skip: Sequence[str], *, now: float
    ) -> list[str]:
        if not call_ids:
            return []
        result, reason = RESULT_OF[EndReason.GATEWAY_LOST].value, EndReason.GATEWAY_LOST.value
        event = Event(name=event_name, at=now, data={"result": result, "reason": reason})
        fields = {"state": "ended", "ended_at": now, "result": result, "reason": reason}
        arguments = [
            owner,
            int(grace_s * 1000),
            now,
            len(skip),
            *skip,
            *_flat(fields),
            *_events([event], self._endpoints),
        ]
        hints = [
            ("ZADD", self._due_key(name), *(part for call_id in call_ids for part in (now, call_id)))
            for name in wanting(self._endpoints, event_name)
        ]
        steps = [self._step(call_id, "reap", *arguments) for call_id in call_ids]
        answers = (await self._client.run([*hints, *steps, *hints]))[len(hints) : len(hints) + len(steps)]
        pairs = list(zip(call_ids, answers, strict=True))
        if gone := [call_id for call_id, answer in pairs if answer in ("reaped", "ended", "unknown")]:
            await self._client.run([("ZREM", self._key("live"), *gone)])
        return [call_id for call_id, answer in pairs if answer == "reaped"]

    async def get_call(self, call_id: str) -> CallRecord | None:
        return (await self._records([call_id]))[0]

    async def list_calls(
        self, *, limit: int = 50, before: str | None = None, state: CallState | None = None
    ) -> list[CallRecord]:
        start = 0
        if before is not None:
            (rank,) = await self._client.run([("ZREVRANK", self._key("calls"), before)])
            if rank is None:
                return []
            start = int(rank) + 1
        found: list[CallRecord] = []
        while len(found) < limit:
            (page,) = await self._client.run([("ZREVRANGE", self._key("calls"), start, start + limit - 1)])
            records = await self._records(page)
            found += [record for record in records if record is not None and state in (None, record.state)]
            if len(page) < limit:
                break
            start += limit
        return found[:limit]

    async def _records(self, call_ids: Sequence[str]) -> list[CallRecord | None]:
        if not call_ids:
            return []
        commands: list[Command] = []
        for call_id in call_ids:
            keys = self._keys(call_id)
            commands += [("HMGET", keys[0], *RECORD_FIELDS), ("HGETALL", keys[1])]
        answers = await self._client.run(commands)
        return [_record(answers[n], answers[n + 1]) for n in range(0, len(answers), 2)]

    async def timeline(self, call_id: str) -> list[TimelineEntry]:
        (lines,) = await self._client.run([("LRANGE", self._keys(call_id)[4], 0, -1)])
        return [TimelineEntry(**json.loads(line)) for line in lines]

    async def events_of(self, call_id: str) -> list[StoredEvent]:
        (entries,) = await self._client.run([("XRANGE", self._keys(call_id)[2], "-", "+")])
        return [_stored_event(call_id, int(entry_id.partition("-")[0]), flat) for entry_id, flat in entries]

    # --- Outbox ---

    async def set_endpoints(self, endpoints: dict[str, Sequence[str]]) -> None:
        self._endpoints = {name: frozenset(events) for name, events in endpoints.items()}
        if endpoints:
            await self._client.run([("SADD", self._key("endpoints"), *endpoints)])

    async def claim(
        self, worker: str, *, limit: int, now: float, claim_s: float, endpoint: str | None = None
    ) -> list[Delivery]:
        found: list[Delivery] = []
        for name in [endpoint] if endpoint is not None else await self._known_endpoints():
            if len(found) < limit:
                found += await self._claim(name, limit - len(found), now=now, claim_s=claim_s)
        return found

    async def _claim(self, endpoint: str, limit: int, *, now: float, claim_s: float) -> list[Delivery]:
        key = self._due_key(endpoint)
        (flat,) = await self._client.run([("ZRANGEBYSCORE", key, "-inf", now, "WITHSCORES", "LIMIT", 0, limit)])
        hints = _scored(flat)
        if not hints:
            return []
        until = now + claim_s
        answers = await self._client.run([self._step(call_id, "claim", endpoint, now, until) for call_id, _ in hints])
        moves, found = [], []
        for (call_id, score), answer in zip(hints, answers, strict=True):
            if answer[0] == "claimed":
                found.append(_delivery(endpoint, call_id, answer))
                wanted: object = until
            else:
                wanted = _next_look(answer[1], answer[2], score, now)
            moves.append(("EVALSHA", HINT_SCRIPT, 1, key, call_id, repr(score), wanted))
        await self._client.run(moves)
        return found

    async def delivered(self, delivery_id: str, *, attempt: dict[str, Any], now: float) -> None:
        await self._settle(delivery_id, "delivered", attempt, None, now=now)

    async def failed(self, delivery_id: str, *, attempt: dict[str, Any], retry_at: float | None, now: float) -> None:
        await self._settle(delivery_id, "dead" if retry_at is None else "pending", attempt, retry_at, now=now)

    async def _settle(
        self, delivery: str, status: str, attempt: dict[str, Any], retry_at: float | None, *, now: float
    ) -> None:
        endpoint, call_id, seq = split_delivery_id(delivery)
        (entries,) = await self._client.run([("XRANGE", self._keys(call_id)[2], f"{seq}-0", f"{seq}-0")])
        name = _pairs(entries[0][1])["name"] if entries else ""
        row = {"endpoint": endpoint, "event_id": event_id(call_id, seq), "name": name, **attempt}
        retry = "" if retry_at is None else retry_at
        step = self._step(call_id, "settle", f"{seq}|{endpoint}", endpoint, status, now, retry, dump_json(row))
        (next_at,) = await self._client.run([step])
        if next_at:
            await self._client.run([("ZADD", self._due_key(endpoint), next_at, call_id)])

    async def attempts(self, call_id: str) -> list[dict[str, Any]]:
        (lines,) = await self._client.run([("LRANGE", self._keys(call_id)[5], 0, -1)])
        return [json.loads(line) for line in lines]

    async def backlog(self) -> int:
        endpoints = await self._known_endpoints()
        if not endpoints:
            return 0
        members = await self._client.run([("ZRANGE", self._due_key(name), 0, -1) for name in endpoints])
        call_ids = sorted({call_id for found in members for call_id in found})
        if not call_ids:
            return 0
        return sum(await self._client.run([("HLEN", self._keys(call_id)[3]) for call_id in call_ids]))

    async def _known_endpoints(self) -> list[str]:
        (names,) = await self._client.run([("SMEMBERS", self._key("endpoints"))])
        return sorted(names)

    # --- keys and hints ---

    def _key(self, name: str) -> str:
        return f"{self._prefix}:{name}"

    def _due_key(self, endpoint: str) -> str:
        return f"{self._prefix}:{{wh:{endpoint}}}:due"

    def _keys(self, call_id: str) -> list[str]:
        return [f"{self._prefix}:{{call:{call_id}}}:{name}" for name in CALL_KEYS]

    def _step(self, call_id: str, *arguments: object) -> Command:
        keys = self._keys(call_id)
        return ("EVALSHA", CALL_SCRIPT, len(keys), *keys, *arguments)

    def _hints(self, writes: Sequence[Write]) -> list[Command]:
        """Where deliverers shall look: due now."""
        due: dict[str, dict[str, float]] = {}
        for write in writes:
            if isinstance(write, Timeline):
                continue
            for event in write.events:
                for endpoint in wanting(self._endpoints, event.name):
                    due.setdefault(endpoint, {})[write.call_id] = write.now
        return [
            ("ZADD", self._due_key(endpoint), *(part for call_id, at in calls.items() for part in (at, call_id)))
            for endpoint, calls in due.items()
        ]

    def _indexes(self, writes: Sequence[Write]) -> list[Command]:
        commands: list[Command] = []
        for write in writes:
            if isinstance(write, Create):
                commands.append(("ZADD", self._key("live"), "NX", write.now + write.lease_s, write.call_id))
                commands.append(("ZADD", self._key("calls"), "NX", write.record.created_at, write.call_id))
        return commands


def _arguments(write: Write, endpoints: dict[str, frozenset[str]]) -> list[object]:
    if isinstance(write, Create):
        record = {name: getattr(write.record, name) for name in RECORD_FIELDS if name != "fence"}
        row = {**record, "fence": write.fence, "seq": write.seq, "writes": write.number}
        lease = [write.fence, write.number, write.record.owner, int(write.lease_s * 1000), write.now]
        return ["create", *lease, *_flat(row), *_data(write.record.data), *_events(write.events, endpoints)]
    if isinstance(write, Timeline):
        lines = [dump_json({"at_ms": one.at_ms, "kind": one.kind, "data": one.data}) for one in write.entries]
        return ["timeline", write.fence or "", write.number, len(lines), *lines]
    if isinstance(write, Update):
        changes = {name: value for name, value in write.changes.items() if name != "data"}
        fields, data, step = changes, write.changes.get("data", {}), "update"
    elif isinstance(write, End):
        fields = {"state": "ended", "ended_at": write.now, "result": write.result, "reason": write.reason}
        data, step = write.data, "end"
    return [step, write.fence, write.number, write.now, *_flat(fields), *_data(data), *_events(write.events, endpoints)]


def _flat(fields: dict[str, Any]) -> list[object]:
    """Count, then names and values; ``None`` is the empty text."""
    flat: list[object] = [len(fields)]
    for name, value in fields.items():
        flat += [name, "" if value is None else repr(value) if isinstance(value, float) else str(value)]
    return flat


def _data(data: dict[str, Any]) -> list[object]:
    return _flat({name: dump_json(value) for name, value in data.items()})


def _events(events: Sequence[Event], endpoints: dict[str, frozenset[str]]) -> list[object]:
    flat: list[object] = [len(events)]
    for event in events:
        wanted = wanting(endpoints, event.name)
        flat += [str(event.name), repr(event.at), dump_json(event.data), len(wanted), *wanted]
    return flat


def _record(row: Sequence[str | None], data: Any) -> CallRecord | None:
    if row[0] is None:
        return None
    fields: dict[str, Any] = dict(zip(RECORD_FIELDS, row, strict=True))
    fields["fence"] = int(fields["fence"])
    fields["state"] = CallState(fields["state"])
    for name in ("created_at", "answered_at", "ended_at"):
        fields[name] = float(fields[name]) if fields[name] else None
    return CallRecord(**fields, data={name: json.loads(value) for name, value in _pairs(data).items()})


def _pairs(flat: Any) -> dict[str, Any]:
    """Names and values, whichever shape the client gives them."""
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))


def _scored(flat: Sequence[Any]) -> list[tuple[str, float]]:
    if flat and isinstance(flat[0], (list, tuple)):
        return [(member, float(score)) for member, score in flat]
    return [(member, float(score)) for member, score in zip(flat[::2], flat[1::2], strict=True)]


def _stored_event(call_id: str, seq: int, flat: Any) -> StoredEvent:
    fields = _pairs(flat)
    return StoredEvent(
        event_id=event_id(call_id, seq),
        call_id=call_id,
        seq=seq,
        name=fields["name"],
        at=float(fields["at"]),
        data=json.loads(fields["data"]),
    )


def _delivery(endpoint: str, call_id: str, answer: Sequence[Any]) -> Delivery:
    _, seq, attempt, due_at, flat = answer
    return Delivery(
        delivery_id=delivery_id(endpoint, call_id, int(seq)),
        endpoint=endpoint,
        event=_stored_event(call_id, int(seq), flat),
        attempt=int(attempt),
        due_at=float(due_at),
    )


def _next_look(next_at: str, state: str, score: float, now: float) -> object:
    """Where the hint moves when nothing is due: to what comes next, on for a live call, away for one that is done."""
    if next_at:
        return next_at
    if state == CallState.ENDED or (not state and score < now - ORPHAN_S):
        return ""
    return now + LOOK_AGAIN_S
