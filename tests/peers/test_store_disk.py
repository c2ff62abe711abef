"""A disk that is really full: database and journal on a file system of one megabyte (operations.md 4.2, 9)."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.store_child import opened
from tests.unit.agent.store.contract import end, event, record

pytestmark = pytest.mark.peer


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount a small file system here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return


async def test_calls_go_on_when_the_disk_is_full_and_everything_is_there_afterwards(small_disk: Path) -> None:
    store = opened(f"sqlite:{small_disk}/calls.db", str(small_disk), "gw1")
    await store.open()
    await store.create_call(record("c1"), [event("call.started", n=0)], lease_s=10, now=time.time())
    await asyncio.to_thread(fill, small_disk / "filler")
    for n in range(1, 400):
        await store.update_call("c1", 1, {"data": {"text": "y" * 300}}, [event(n=n)], now=time.time())
    assert store.is_away
    assert store.backlog_writes > 0, "the journal is on the same disk"
    (small_disk / "filler").unlink()
    async with asyncio.timeout(10):
        while store.is_away or store.backlog_writes:
            await asyncio.sleep(0.01)
    assert await end(store, "c1")
    events = await store.events_of("c1")
    assert [one.data["n"] for one in events if "n" in one.data] == list(range(400))
    assert events[-1].name == "call.ended"
    await store.close()
