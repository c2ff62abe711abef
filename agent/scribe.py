"""The scribe of one call: everything that is written of it, in order, off the call's own path.

The session tells the scribe and goes on; a task of the session's group writes. Timeline entries are gathered and
written together. Lifecycle writes are never dropped: the queue is long enough for a call's worth of them, and the
store behind it is the resilient one, which spills when the database is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.errors import Fenced, StoreUnavailable
from agent.store.interface import CallRecord, Event, Store, TimelineEntry

QUEUE_LIMIT = 2000
TIMELINE_FLUSH_S = 1.0
TIMELINE_LIMIT = 500
"""Entries kept between flushes; later ones are dropped and told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Update:
    changes: dict[str, Any]
    events: tuple[Event, ...]


class Scribe:
    """Owner of one call's record, events and timeline."""

    def __init__(self, store: Store, *, lease_s: float, wall: Callable[[], float]) -> None:
        self._store = store
        self._lease_s = lease_s
        self._wall = wall
        self._queue: asyncio.Queue[_Update] = asyncio.Queue(QUEUE_LIMIT)
        self._timeline: list[TimelineEntry] = []
        self.call_id = ""
        self.fence = 0
        self.fenced = False
        """Somebody else owns the call now: nothing is written any more."""
        self.on_drop: Callable[[str, int], None] = lambda kind, count: None
        """Told of what was not written: ``timeline`` lines, ``update``s of the record."""

    async def create(self, record: CallRecord, events: tuple[Event, ...] = ()) -> None:
        """Store the call; must be the first write."""
        self.call_id = record.call_id
        self.fence = await self._store.create_call(record, events, lease_s=self._lease_s, now=self._wall())

    def update(self, changes: dict[str, Any] | None = None, *events: Event) -> None:
        """Change the record and tell events, soon and in order."""
        try:
            self._queue.put_nowait(_Update(changes=changes or {}, events=events))
        except asyncio.QueueFull:
            self.on_drop("update", 1)

    def event(self, name: str, **data: Any) -> None:
        self.update(None, Event(name=name, at=self._wall(), data=data))

    def note(self, at_ms: int, kind: str, **data: Any) -> None:
        """One line of the timeline."""
        if len(self._timeline) >= TIMELINE_LIMIT:
            self.on_drop("timeline", 1)
            return
        self._timeline.append(TimelineEntry(at_ms=at_ms, kind=kind, data=data))

    async def run(self) -> None:
        """Write until cancelled. A task of the session's group."""
        while True:
            try:
                async with asyncio.timeout(TIMELINE_FLUSH_S):
                    item = await self._queue.get()
            except TimeoutError:
                await self._flush_timeline()
                continue
            await self._write(item)

    async def finish(self, *, result: str, reason: str, data: dict[str, Any], event: Event) -> bool:
        """Write what is left, then the end of the call with its event. ``False`` if it had ended before."""
        while not self._queue.empty():
            await self._write(self._queue.get_nowait())
        await self._flush_timeline()
        if self.fenced:
            return False
        try:
            return await self._store.end_call(
                self.call_id, self.fence, result=result, reason=reason, data=data, event=event, now=self._wall()
            )
        except Fenced:
            self.fenced = True
            return False

    async def _write(self, item: _Update) -> None:
        if self.fenced:
            return
        try:
            await self._store.update_call(self.call_id, self.fence, item.changes, item.events, now=self._wall())
        except Fenced:
            self.fenced = True
        except StoreUnavailable:
            self.on_drop("update", 1)

    async def _flush_timeline(self) -> None:
        if not self._timeline or self.fenced:
            return
        entries, self._timeline = self._timeline, []
        try:
            await self._store.append_timeline(self.call_id, entries)
        except StoreUnavailable:
            self.on_drop("timeline", len(entries))
