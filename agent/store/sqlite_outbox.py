"""SQL of the outbox. Functions of a connection; the writer thread owns the transaction."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from agent.store.interface import Delivery
from agent.store.sqlite_calls import stored_event
from agent.store.writes import delivery_id, dump_json, event_id, split_delivery_id

STUCK_S = 60.0
"""A delivery that has been failing for so long no longer blocks the later ones of its call (operations.md 3.1)."""

_CLAIM = """
SELECT d.id, d.endpoint, d.attempt, d.due_at, e.call_id, e.seq, e.name, e.at, e.data
FROM deliveries d JOIN events e ON e.call_id = d.call_id AND e.seq = d.seq
WHERE d.status = 'pending' AND d.due_at <= :now AND d.claimed_until <= :now AND d.endpoint = :endpoint
  AND NOT EXISTS (
    SELECT 1 FROM deliveries o
    WHERE o.status = 'pending' AND o.endpoint = d.endpoint AND o.call_id = d.call_id AND o.id != d.id
      AND (o.claimed_until > :now
           OR (o.seq < d.seq AND (o.due_at <= :now OR o.failing_since IS NULL OR o.failing_since > :now - :stuck)))
  )
ORDER BY d.due_at, d.id LIMIT :limit
"""


def claim(
    db: sqlite3.Connection, worker: str, *, limit: int, now: float, claim_s: float, endpoint: str | None
) -> list[Delivery]:
    found: list[Delivery] = []
    for name in [endpoint] if endpoint is not None else _endpoints(db):
        values = {"now": now, "stuck": STUCK_S, "limit": limit - len(found), "endpoint": name}
        rows = db.execute(_CLAIM, values).fetchall()
        db.executemany(
            "UPDATE deliveries SET claimed_until = ?, claimed_by = ? WHERE id = ?",
            [(now + claim_s, worker, row[0]) for row in rows],
        )
        found += [
            Delivery(
                delivery_id=delivery_id(row[1], row[4], row[5]),
                endpoint=row[1],
                event=stored_event(*row[4:]),
                attempt=row[2],
                due_at=row[3],
            )
            for row in rows
        ]
    return found


def _endpoints(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT DISTINCT endpoint FROM deliveries WHERE status = 'pending'")]


def settle(
    db: sqlite3.Connection,
    delivery: str,
    *,
    attempt: dict[str, Any],
    status: str,
    retry_at: float | None,
    now: float,
) -> None:
    """Record an attempt. ``status``: ``delivered``, ``dead`` or ``pending`` (again at ``retry_at``)."""
    endpoint, call_id, seq = split_delivery_id(delivery)
    db.execute(
        "UPDATE deliveries SET status = ?, attempt = attempt + 1, claimed_until = 0, due_at = coalesce(?, due_at),"
        " failing_since = coalesce(failing_since, ?)"
        " WHERE endpoint = ? AND call_id = ? AND seq = ? AND status = 'pending'",
        (status, retry_at, now, endpoint, call_id, seq),
    )
    db.execute(
        "INSERT INTO attempts (call_id, seq, endpoint, data) VALUES (?, ?, ?, ?)",
        (call_id, seq, endpoint, dump_json(attempt)),
    )


def attempts(db: sqlite3.Connection, call_id: str) -> list[dict[str, Any]]:
    rows = db.execute(
        "SELECT a.endpoint, a.seq, e.name, a.data FROM attempts a JOIN events e USING (call_id, seq)"
        " WHERE a.call_id = ? ORDER BY a.id",
        (call_id,),
    )
    return [
        {"endpoint": endpoint, "event_id": event_id(call_id, seq), "name": name, **json.loads(data)}
        for endpoint, seq, name, data in rows
    ]


def backlog(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM deliveries WHERE status = 'pending'").fetchone()[0])
