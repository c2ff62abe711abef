"""Store and outbox in one SQLite file: one writer thread with group commit, one thread with a read-only connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from agent.store import sqlite_calls, sqlite_outbox
from agent.store.database_thread import DatabaseThread
from agent.store.facade import WritingStore
from agent.store.interface import CallRecord, CallState, Delivery, StoredEvent, TimelineEntry
from agent.store.sqlite_schema import check_file_system, check_sound, migrate
from agent.store.writes import Outcome, Write

T = TypeVar("T")

GATHER_S = 0.002
"""How long the writer waits for company before it commits: one commit costs as much as a hundred writes."""
BUSY_TIMEOUT_S = 5.0
MEMORY = ":memory:"


class SqliteStore(WritingStore):
    """``path`` is a file or ``:memory:``. ``durable`` syncs each commit to disk (survives a power cut, costs 3×)."""

    def __init__(self, path: str, *, durable: bool = False, gather_s: float = GATHER_S) -> None:
        self._path = path
        self._durable = durable
        self._endpoints: dict[str, frozenset[str]] = {}
        self._is_open = False
        self._writer = DatabaseThread(path, self._connect_writer, commits=True, gather_s=gather_s, at_close=_checkpoint)
        self._reader = DatabaseThread(path, self._connect_reader, commits=False)

    async def open(self) -> None:
        await self._writer.start()
        if self._path != MEMORY:
            try:
                await self._reader.start()
            except BaseException:
                await self._writer.stop()
                raise
        self._is_open = True

    async def ping(self) -> None:
        if not self._is_open:
            await self.open()
        await self._write(lambda db: db.execute("UPDATE calls SET id = id WHERE id = 0"))

    async def close(self) -> None:
        self._is_open = False
        await self._reader.stop()
        await self._writer.stop()

    @property
    def commits(self) -> int:
        """Transactions so far."""
        return self._writer.batches

    # --- Store ---

    async def apply(self, writes: Sequence[Write]) -> list[Outcome]:
        endpoints = self._endpoints
        return await self._write(lambda db: [sqlite_calls.apply_write(db, write, endpoints) for write in writes])

    async def renew_leases(
        self, owner: str, calls: Sequence[tuple[str, int]], *, lease_s: float, now: float
    ) -> list[str]:
        if not calls:
            return []
        return await self._write(lambda db: sqlite_calls.renew(db, owner, calls, lease_s=lease_s, now=now))

    async def expired(self, *, now: float, skip_owners: Sequence[str] = ()) -> list[str]:
        return await self._read(partial(sqlite_calls.expired, before=now, skip_owners=skip_owners))

    async def reap(
        self,
        *,
        now: float,
        grace_s: float,
        event_name: str,
        skip_owners: Sequence[str] = (),
        only: Collection[str] | None = None,
    ) -> list[str]:
        endpoints = self._endpoints

        def job(db: sqlite3.Connection) -> list[str]:
            found = sqlite_calls.expired(db, before=now - grace_s, skip_owners=skip_owners)
            found = [call_id for call_id in found if only is None or call_id in only]
            return sqlite_calls.end_as_lost(db, found, event_name, endpoints, now=now)

        return await self._write(job)

    async def reap_owner(self, owner: str, *, now: float, event_name: str, keep: Sequence[str] = ()) -> list[str]:
        endpoints = self._endpoints

        def job(db: sqlite3.Connection) -> list[str]:
            found = [call_id for call_id in sqlite_calls.live_of(db, owner) if call_id not in keep]
            return sqlite_calls.end_as_lost(db, found, event_name, endpoints, now=now)

        return await self._write(job)

    async def get_call(self, call_id: str) -> CallRecord | None:
        return await self._read(partial(sqlite_calls.get_call, call_id=call_id))

    async def list_calls(
        self, *, limit: int = 50, before: str | None = None, state: CallState | None = None
    ) -> list[CallRecord]:
        return await self._read(partial(sqlite_calls.list_calls, limit=limit, before=before, state=state))

    async def timeline(self, call_id: str) -> list[TimelineEntry]:
        return await self._read(partial(sqlite_calls.timeline, call_id=call_id))

    async def events_of(self, call_id: str) -> list[StoredEvent]:
        return await self._read(partial(sqlite_calls.events_of, call_id=call_id))

    # --- Outbox ---

    async def set_endpoints(self, endpoints: dict[str, Sequence[str]]) -> None:
        self._endpoints = {name: frozenset(events) for name, events in endpoints.items()}

    async def claim(
        self, worker: str, *, limit: int, now: float, claim_s: float, endpoint: str | None = None
    ) -> list[Delivery]:
        return await self._write(
            lambda db: sqlite_outbox.claim(db, worker, limit=limit, now=now, claim_s=claim_s, endpoint=endpoint)
        )

    async def delivered(self, delivery_id: str, *, attempt: dict[str, Any], now: float) -> None:
        await self._settle(delivery_id, attempt=attempt, status="delivered", retry_at=None, now=now)

    async def failed(self, delivery_id: str, *, attempt: dict[str, Any], retry_at: float | None, now: float) -> None:
        status = "dead" if retry_at is None else "pending"
        await self._settle(delivery_id, attempt=attempt, status=status, retry_at=retry_at, now=now)

    async def attempts(self, call_id: str) -> list[dict[str, Any]]:
        return await self._read(partial(sqlite_outbox.attempts, call_id=call_id))

    async def backlog(self) -> int:
        return await self._read(sqlite_outbox.backlog)

    # --- connections ---

    async def _settle(
        self, delivery_id: str, *, attempt: dict[str, Any], status: str, retry_at: float | None, now: float
    ) -> None:
        await self._write(
            lambda db: sqlite_outbox.settle(db, delivery_id, attempt=attempt, status=status, retry_at=retry_at, now=now)
        )

    async def _write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        return await self._writer.run(job)

    async def _read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        thread = self._writer if self._path == MEMORY else self._reader
        return await thread.run(job)

    def _connect_writer(self) -> sqlite3.Connection:
        if self._path != MEMORY:
            path = Path(self._path)
            path.parent.mkdir(parents=True, exist_ok=True)
            check_file_system(path, _mounts())
        db = sqlite3.connect(self._path, isolation_level=None, timeout=BUSY_TIMEOUT_S, cached_statements=256)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA wal_autocheckpoint = 1000")
            check_sound(db, self._path)
            migrate(db, self._path)
        except BaseException:
            db.close()
            raise
        return db

    def _connect_reader(self) -> sqlite3.Connection:
        uri = f"{Path(self._path).absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)


def _checkpoint(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text()
    except OSError:
        return ""
