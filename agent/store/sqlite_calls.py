"""SQL of calls, leases, events and timelines. Functions of a connection; the writer thread owns the transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from agent.events.names import RESULT_OF, EndReason
from agent.store.interface import CallRecord, CallState, Event, StoredEvent, TimelineEntry
from agent.store.writes import (
    Create,
    End,
    Outcome,
    Status,
    Timeline,
    Update,
    Write,
    dump_json,
    event_id,
    wanting,
)

Endpoints = dict[str, frozenset[str]]

_COLUMNS = (
    "call_id, tenant, agent, transport, direction, from_uri, to_uri, state, owner, fence, created_at, answered_at, "
    "ended_at, result, reason, data"
)
_INSERT_CALL = f"INSERT INTO calls ({_COLUMNS}, seq, writes, lease_until) VALUES ({', '.join('?' * 19)})"
_INSERT_EVENT = "INSERT INTO events (call_id, seq, name, at, data) VALUES (?, ?, ?, ?, ?)"
_INSERT_DELIVERY = "INSERT INTO deliveries (endpoint, call_id, seq, due_at) VALUES (?, ?, ?, ?)"
_SELECT_STATE = "SELECT fence, writes, seq, state, data FROM calls WHERE call_id = ?"
_DONE = Outcome(status=Status.DONE)
GATEWAY_LOST = EndReason.GATEWAY_LOST


def apply_write(db: sqlite3.Connection, write: Write, endpoints: Endpoints) -> Outcome:
    """Apply one write. Its checks come before its first change."""
    if isinstance(write, Create):
        return _create(db, write, endpoints)
    row = db.execute(_SELECT_STATE, (write.call_id,)).fetchone()
    if row is None:
        return Outcome(status=Status.UNKNOWN)
    fence, writes, seq, state, data = row
    if write.fence != fence and not (isinstance(write, Timeline) and write.fence == 0):
        return Outcome(status=Status.FENCED)
    if write.number and write.number <= writes:
        return Outcome(status=Status.DUPLICATE)
    if write.number > writes + 1:
        return Outcome(status=Status.GAP)
    number = write.number or writes
    ended = state == CallState.ENDED.value
    if isinstance(write, Update):
        return _update(db, write, endpoints, seq=seq, number=number, ended=ended, data=data)
    if isinstance(write, End):
        return _end(db, write, endpoints, seq=seq, number=number, ended=ended, data=data)
    return _timeline(db, write, number=number)


def _create(db: sqlite3.Connection, write: Create, endpoints: Endpoints) -> Outcome:
    record = write.record
    row = db.execute("SELECT owner, writes FROM calls WHERE call_id = ?", (write.call_id,)).fetchone()
    if row is not None:
        mine = write.number and row[0] == record.owner and row[1] >= write.number
        return Outcome(status=Status.DUPLICATE, fence=write.fence) if mine else Outcome(status=Status.FENCED)
    fields = (record.call_id, record.tenant, record.agent, record.transport, record.direction, record.from_uri)
    times = (record.created_at, record.answered_at, record.ended_at)
    db.execute(
        _INSERT_CALL,
        (
            *fields,
            record.to_uri,
            record.state.value,
            record.owner,
            write.fence,
            *times,
            record.result,
            record.reason,
            dump_json(record.data),
            write.seq + len(write.events),
            write.number,
            write.now + write.lease_s,
        ),
    )
    _append(db, write.call_id, write.seq, write.events, endpoints, write.now)
    return Outcome(status=Status.DONE, fence=write.fence)


def _update(
    db: sqlite3.Connection, write: Update, endpoints: Endpoints, *, seq: int, number: int, ended: bool, data: str
) -> Outcome:
    changes = {"data": write.changes["data"]} if ended and "data" in write.changes else write.changes
    if ended and "data" not in write.changes:
        changes = {}  # an ended call keeps its fields; events may follow (recording.ready)
    columns: dict[str, Any] = {"seq": seq + len(write.events), "writes": number}
    for name, value in changes.items():
        columns[name] = _merged(data, value) if name == "data" else str(value) if name == "state" else value
    names = ", ".join(f"{name} = ?" for name in columns)
    db.execute(f"UPDATE calls SET {names} WHERE call_id = ?", (*columns.values(), write.call_id))
    _append(db, write.call_id, seq, write.events, endpoints, write.now)
    return _DONE


def _end(
    db: sqlite3.Connection, write: End, endpoints: Endpoints, *, seq: int, number: int, ended: bool, data: str
) -> Outcome:
    if ended:
        db.execute("UPDATE calls SET writes = ? WHERE call_id = ?", (number, write.call_id))
        return Outcome(status=Status.ENDED)
    db.execute(
        "UPDATE calls SET state = 'ended', ended_at = ?, result = ?, reason = ?, data = ?, seq = ?, writes = ?"
        " WHERE call_id = ?",
        (
            write.now,
            write.result,
            write.reason,
            _merged(data, write.data),
            seq + len(write.events),
            number,
            write.call_id,
        ),
    )
    _append(db, write.call_id, seq, write.events, endpoints, write.now)
    return _DONE


def _timeline(db: sqlite3.Connection, write: Timeline, *, number: int) -> Outcome:
    if write.number:
        db.execute("UPDATE calls SET writes = ? WHERE call_id = ?", (number, write.call_id))
    db.executemany(
        "INSERT INTO timeline (call_id, at_ms, kind, data) VALUES (?, ?, ?, ?)",
        [(write.call_id, entry.at_ms, entry.kind, dump_json(entry.data)) for entry in write.entries],
    )
    return _DONE


def _merged(old: str, new: dict[str, Any]) -> str:
    return dump_json({**json.loads(old), **new}) if new else old


def _append(
    db: sqlite3.Connection, call_id: str, seq: int, events: Sequence[Event], endpoints: Endpoints, now: float
) -> None:
    for number, event in enumerate(events, seq + 1):
        db.execute(_INSERT_EVENT, (call_id, number, str(event.name), event.at, dump_json(event.data)))
        for endpoint in wanting(endpoints, event.name):
            db.execute(_INSERT_DELIVERY, (endpoint, call_id, number, now))


# --- leases ---


def renew(
    db: sqlite3.Connection, owner: str, calls: Sequence[tuple[str, int]], *, lease_s: float, now: float
) -> list[str]:
    """Renew leases; returns the calls that are no longer the owner's."""
    lost = []
    for call_id, fence in calls:
        found = db.execute(
            "UPDATE calls SET lease_until = ? WHERE call_id = ? AND fence = ? AND owner = ?",
            (now + lease_s, call_id, fence, owner),
        )
        if not found.rowcount:
            lost.append(call_id)
    return lost


def expired(db: sqlite3.Connection, *, before: float, skip_owners: Sequence[str]) -> list[str]:
    """Live calls whose lease ended before that time."""
    marks = ", ".join("?" * len(skip_owners))
    rows = db.execute(
        f"SELECT call_id FROM calls WHERE state != 'ended' AND lease_until < ? AND owner NOT IN ({marks}) ORDER BY id",
        (before, *skip_owners),
    )
    return [row[0] for row in rows]


def live_of(db: sqlite3.Connection, owner: str) -> list[str]:
    rows = db.execute("SELECT call_id FROM calls WHERE state != 'ended' AND owner = ? ORDER BY id", (owner,))
    return [row[0] for row in rows]


def end_as_lost(
    db: sqlite3.Connection, call_ids: Sequence[str], event_name: str, endpoints: Endpoints, *, now: float
) -> list[str]:
    """End live calls for their lost owner, and fence it off."""
    result = RESULT_OF[GATEWAY_LOST].value
    event = Event(name=event_name, at=now, data={"result": result, "reason": GATEWAY_LOST.value})
    for call_id in call_ids:
        (seq,) = db.execute("SELECT seq FROM calls WHERE call_id = ?", (call_id,)).fetchone()
        db.execute(
            "UPDATE calls SET state = 'ended', ended_at = ?, result = ?, reason = ?, fence = fence + 1, seq = ?"
            " WHERE call_id = ?",
            (now, result, GATEWAY_LOST.value, seq + 1, call_id),
        )
        _append(db, call_id, seq, [event], endpoints, now)
    return list(call_ids)


# --- reads ---


def get_call(db: sqlite3.Connection, call_id: str) -> CallRecord | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM calls WHERE call_id = ?", (call_id,)).fetchone()
    return None if row is None else _record(row)


def list_calls(db: sqlite3.Connection, *, limit: int, before: str | None, state: CallState | None) -> list[CallRecord]:
    wheres, values = ["1"], []
    if before is not None:
        wheres.append("(created_at, call_id) < (SELECT created_at, call_id FROM calls WHERE call_id = ?)")
        values.append(before)
    if state is not None:
        wheres.append("state = ?")
        values.append(state.value)
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM calls WHERE {' AND '.join(wheres)} ORDER BY created_at DESC, call_id DESC LIMIT ?",
        (*values, limit),
    )
    return [_record(row) for row in rows]


def _record(row: Sequence[Any]) -> CallRecord:
    names = _COLUMNS.split(", ")
    fields = dict(zip(names, row, strict=True))
    return CallRecord(**{**fields, "state": CallState(fields["state"]), "data": json.loads(fields["data"])})


def timeline(db: sqlite3.Connection, call_id: str) -> list[TimelineEntry]:
    rows = db.execute("SELECT at_ms, kind, data FROM timeline WHERE call_id = ? ORDER BY id", (call_id,))
    return [TimelineEntry(at_ms=at_ms, kind=kind, data=json.loads(data)) for at_ms, kind, data in rows]


def events_of(db: sqlite3.Connection, call_id: str) -> list[StoredEvent]:
    rows = db.execute("SELECT seq, name, at, data FROM events WHERE call_id = ? ORDER BY seq", (call_id,))
    return [stored_event(call_id, *row) for row in rows]


def stored_event(call_id: str, seq: int, name: str, at: float, data: str) -> StoredEvent:
    return StoredEvent(
        event_id=event_id(call_id, seq), call_id=call_id, seq=seq, name=name, at=at, data=json.loads(data)
    )
