"""One thread that owns one SQLite connection. The writer gathers jobs for a few milliseconds and commits them together.

The loop only puts a job into a queue; waiting for locks, disk and commits happens in the thread. Answers of a batch
go back with one ``call_soon_threadsafe``.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from agent.errors import AgentError, StoreUnavailable
from agent.store.errors import StoreRefused

T = TypeVar("T")
Job = tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any]"]
Settled = tuple["asyncio.Future[Any]", Any, BaseException | None]

QUEUE_LIMIT = 20_000
"""Jobs waiting; above it the store says that it is unavailable."""
BATCH_LIMIT = 500

_REFUSED = {"SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH"}


def explain(path: str, error: sqlite3.Error) -> StoreUnavailable:
    """A database error as ours, with path and cause."""
    name = (getattr(error, "sqlite_errorname", "") or "").split("_", 2)
    code = "_".join(name[:2])
    hint = {
        "SQLITE_FULL": "disk full",
        "SQLITE_NOTADB": "not a database",
        "SQLITE_CANTOPEN": "cannot be opened (does the folder exist, may we write there?)",
        "SQLITE_BUSY": "locked by another process",
        "SQLITE_IOERR": "disk error",
    }.get(code, "")
    text = f"{path}: {hint} ({error})" if hint else f"{path}: {error}"
    return StoreRefused(text) if code in _REFUSED else StoreUnavailable(text)


class DatabaseThread:
    """Runs jobs ``connection -> result`` one after the other in a thread of its own."""

    def __init__(
        self,
        path: str,
        connect: Callable[[], sqlite3.Connection],
        *,
        commits: bool,
        gather_s: float = 0.0,
        at_close: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        self._path = path
        self._connect = connect
        self._commits = commits
        self._gather_s = gather_s
        self._at_close = at_close
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.batches = 0
        """Commits so far."""

    async def start(self) -> None:
        """Open the connection in the thread. Raises ``StoreUnavailable``."""
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="store", daemon=True)
        self._thread.start()
        try:
            await opened
        except BaseException:
            self._thread = None
            raise

    async def stop(self) -> None:
        """Finish what is queued, then close."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(thread.join)

    async def run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """The job's result. Raises what the job raises, and ``StoreUnavailable``."""
        if self._thread is None or self._loop is None:
            raise StoreUnavailable(f"{self._path}: not open")
        if self._queue.qsize() >= QUEUE_LIMIT:
            raise StoreUnavailable(f"{self._path}: {QUEUE_LIMIT} writes are waiting")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((job, future))
        return await future

    # --- in the thread ---

    def _run(self, opened: asyncio.Future[None]) -> None:
        try:
            db = self._connect()
        except sqlite3.Error as error:
            self._settle([(opened, None, explain(self._path, error))])
            return
        except (AgentError, OSError) as error:
            refused = error if isinstance(error, AgentError) else StoreUnavailable(f"{self._path}: {error}")
            self._settle([(opened, None, refused)])
            return
        self._settle([(opened, None, None)])
        while (job := self._queue.get()) is not None:
            jobs, last = self._gather(job)
            self._settle(self._together(db, jobs) if self._commits else [self._alone(db, job) for job in jobs])
            if last:
                break
        try:
            if self._at_close is not None:
                self._at_close(db)
        except sqlite3.Error:
            pass  # tidying up only: everything is committed
        finally:
            db.close()

    def _gather(self, first: Job) -> tuple[list[Job], bool]:
        """The first job and those that come within the window; True when the thread shall stop after them."""
        if self._gather_s:
            time.sleep(self._gather_s)
        jobs = [first]
        while len(jobs) < BATCH_LIMIT:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
        return jobs, False

    def _together(self, db: sqlite3.Connection, jobs: list[Job]) -> list[Settled]:
        """One transaction for all; if the database objects to it, one for each."""
        self.batches += 1
        try:
            db.execute("BEGIN IMMEDIATE")
            settled = [self._inside(db, job) for job in jobs]
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:
                db.rollback()
            if len(jobs) > 1:
                return [one for job in jobs for one in self._together(db, [job])]
            return [(jobs[0][1], None, explain(self._path, error))]
        return settled

    @staticmethod
    def _inside(db: sqlite3.Connection, job: Job) -> Settled:
        """A job of ours raises before its first statement that writes, so its neighbours stay whole."""
        try:
            return job[1], job[0](db), None
        except (AgentError, ValueError) as error:
            return job[1], None, error

    def _alone(self, db: sqlite3.Connection, job: Job) -> Settled:
        try:
            return self._inside(db, job)
        except sqlite3.Error as error:
            return job[1], None, explain(self._path, error)

    def _settle(self, settled: list[Settled]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is gone, and with it everybody who waited
            self._loop.call_soon_threadsafe(_answer, settled)


def _answer(settled: list[Settled]) -> None:
    for future, result, error in settled:
        if future.done():
            continue  # its caller gave up
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
