"""A store over memory that can be made to refuse, hang, forget, or do its work and lose the answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.errors import StoreUnavailable
from agent.store.interface import CallRecord
from agent.store.resilient import ResilientStore
from agent.store.spool import Limits
from agent.store.sqlite import SqliteStore
from agent.store.writes import Outcome, Write
from telephony.clock import Clock, MonotonicClock
from tests.unit.agent.store.contract import NOW

QUICK = Limits(batch=5, answer_s=0.3, retry_min_s=0.001, retry_max_s=0.002)


class NoLog:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def bind(self, **fields: object) -> NoLog:
        return self

    def _keep(self, event: str, **fields: object) -> None:
        self.lines.append((str(event), fields))

    debug = info = warning = error = exception = _keep


class FlakyStore(SqliteStore):
    """``mode``: ``ok``, ``refuse``, ``hang`` or ``lose`` (applied, answer lost)."""

    def __init__(self) -> None:
        super().__init__(":memory:", gather_s=0.0)
        self.mode = "ok"
        self.closes = False
        self.answered: list[str] = []
        """What was asked and answered, in order."""

    async def open(self) -> None:
        await self._pass()
        if not self._is_open:
            await super().open()

    async def close(self) -> None:
        """Stays open: a service that dies does not take the server along."""
        if self.closes:
            await super().close()

    async def ping(self) -> None:
        await self._pass()
        await super().ping()

    async def apply(self, writes: Sequence[Write]) -> list[Outcome]:
        if self.mode == "lose":
            await super().apply(writes)
            raise StoreUnavailable("answer lost")
        await self._pass()
        self.answered.append("apply")
        return await super().apply(writes)

    async def renew_leases(self, *args: Any, **kwargs: Any) -> list[str]:
        await self._pass()
        self.answered.append("renew")
        return await super().renew_leases(*args, **kwargs)

    async def get_call(self, call_id: str) -> CallRecord | None:
        await self._pass()
        return await super().get_call(call_id)

    async def wipe(self) -> None:
        for table in ("calls", "events", "deliveries", "attempts", "timeline"):
            await self._write(lambda db, table=table: db.execute(f"DELETE FROM {table}"))  # type: ignore[misc]

    async def _pass(self) -> None:
        if self.mode in ("refuse", "lose"):
            raise StoreUnavailable("refused")
        while self.mode == "hang":
            await asyncio.sleep(0.001)


class SetClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at


def resilient(
    backing: Any, folder: Path, *, limits: Limits = QUICK, owner: str = "gw1", clock: Clock | None = None
) -> ResilientStore:
    return ResilientStore(
        backing,
        journal=folder / "spill.jsonl",
        owner=owner,
        endpoints={"all": ["*"]},
        wall=lambda: NOW,
        clock=clock or MonotonicClock(),
        log=NoLog(),
        may_start_away=True,
        rng=random.Random(1),
        limits=limits,
    )


async def until_back(store: ResilientStore) -> None:
    async with asyncio.timeout(5):
        while store.is_away or store.backlog_writes:
            await asyncio.sleep(0.001)


async def killed(store: ResilientStore) -> None:
    """End a store as ``kill -9`` does: nothing is flushed."""
    assert store._spool._task is not None
    store._spool._task.cancel()
    await asyncio.wait([store._spool._task])
    store._spool.journal.close()
