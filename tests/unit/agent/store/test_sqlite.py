"""The contract over SQLite, and what only a file can do."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.errors import StoreUnavailable
from agent.store.errors import StoreRefused
from agent.store.sqlite import SqliteStore
from agent.store.sqlite_schema import MIGRATIONS, check_file_system
from agent.store.writes import Create, End, Status, Update
from tests.unit.agent.store.contract import ENDED, NOW, StoreContract, event, record


@pytest.fixture(params=["file", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(str(tmp_path / "deep" / "calls.db") if request.param == "file" else ":memory:")
    await store.open()
    yield store
    await store.close()


class TestSqlite(StoreContract):
    async def test_a_write_that_comes_twice_is_applied_once(self, store: SqliteStore) -> None:
        create = Create(call_id="c1", number=1, record=record(), events=(event(),), lease_s=10, now=NOW)
        update = Update(call_id="c1", number=2, fence=1, events=(event(),), now=NOW)
        late = Update(call_id="c1", number=4, fence=1, events=(event(),), now=NOW)
        end = End(call_id="c1", number=3, fence=1, result="success", reason="x", events=(ENDED,), now=NOW)
        outcomes = await store.apply([create, create, update, update, late, end, end])
        statuses = [outcome.status for outcome in outcomes]
        assert statuses == [
            Status.DONE,
            Status.DUPLICATE,
            Status.DONE,
            Status.DUPLICATE,
            Status.GAP,
            Status.DONE,
            Status.DUPLICATE,
        ]
        assert [one.name for one in await store.events_of("c1")] == ["call.turn", "call.turn", "call.ended"]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(str(path))
    await store.open()
    return store


async def test_what_was_written_is_there_after_a_restart(path: Path) -> None:
    store = await opened(path)
    await store.set_endpoints({"a": ["*"]})
    await store.create_call(record(), [event()], lease_s=10, now=NOW)
    await store.close()
    store = await opened(path)
    assert (await store.get_call("c1")) == record(fence=1)
    assert await store.backlog() == 1
    await store.close()


async def test_writes_that_come_together_share_commits(path: Path) -> None:
    store = await opened(path)
    await store.create_call(record(), [], lease_s=10, now=NOW)
    before = store.commits
    await asyncio.gather(*(store.update_call("c1", 1, {}, [event(n=n)], now=NOW) for n in range(200)))
    assert store.commits - before < 20
    await store.close()


async def test_a_job_that_the_database_refuses_does_not_take_its_neighbours_along(path: Path) -> None:
    store = await opened(path)

    def broken(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO calls (call_id) VALUES ('half')")

    jobs: list[Any] = [store.create_call(record(f"c{n}"), [], lease_s=10, now=NOW) for n in range(3)]
    jobs.insert(1, store._write(broken))
    answers = await asyncio.gather(*jobs, return_exceptions=True)
    assert isinstance(answers[1], StoreUnavailable)
    assert [answer for answer in answers if answer == 1] == [1, 1, 1]
    assert len(await store.list_calls()) == 3
    await store.close()


def wipe_from_third_page(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[8192:] = bytes(len(raw) - 8192)
    path.write_bytes(raw)


def write_text(path: Path, text: str) -> None:
    path.write_text(text)


async def test_a_file_that_is_no_database_is_refused_by_name(path: Path) -> None:
    write_text(path, "this is a text, and long enough to have a header of a database" * 40)
    with pytest.raises(StoreRefused, match=r"calls\.db: not a database"):
        await opened(path)


async def test_a_newer_schema_is_refused(path: Path) -> None:
    await (await opened(path)).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(StoreRefused, match=r"calls\.db: schema version 2 is newer than this program knows \(1\)"):
        await opened(path)


async def test_a_damaged_file_is_refused(path: Path) -> None:
    store = await opened(path)
    for n in range(200):
        await store.create_call(record(f"c{n}", data={"x": "y" * 500}), [], lease_s=10, now=NOW)
    await store.close()
    wipe_from_third_page(path)
    with pytest.raises(StoreRefused, match=r"calls\.db: damaged|calls\.db: database disk image is malformed"):
        await opened(path)


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "")
    with pytest.raises(StoreUnavailable, match=r"file/calls\.db"):
        await opened(tmp_path / "file" / "calls.db")


async def test_a_full_disk_is_told_and_passes(path: Path) -> None:
    store = await opened(path)
    await store.create_call(record(), [], lease_s=10, now=NOW)

    def limit(db: sqlite3.Connection, pages: int) -> None:
        db.execute(f"PRAGMA max_page_count = {pages}")

    await store._write(lambda db: limit(db, 1))
    with pytest.raises(StoreUnavailable, match=r"calls\.db: disk full"):
        await store.update_call("c1", 1, {"data": {"x": "y" * 100_000}}, [], now=NOW)
    await store._write(lambda db: limit(db, 100_000))
    await store.update_call("c1", 1, {"data": {"x": "y" * 100_000}}, [], now=NOW)
    await store.close()


async def test_a_closed_store_is_unavailable(path: Path) -> None:
    store = await opened(path)
    await store.close()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.get_call("c1")


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n"
    with pytest.raises(StoreRefused, match="network file system"):
        check_file_system(tmp_path / "calls.db", mounts)
    check_file_system(Path("/elsewhere/calls.db"), mounts)
    check_file_system(tmp_path / "calls.db", "")
