"""Live events: what sessions tell, to whoever watches, by Server-Sent Events.

A watcher that does not read loses the oldest of its events, never the newest, and costs nobody else anything: each has
a queue of its own with a written limit. What was lost is told by an event ``lost`` before the next one.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

QUEUE_LIMIT: Final = 512
"""Events that wait for one watcher; beyond it its oldest is dropped and counted."""
KEPT: Final = 2000
"""Events kept for ``Last-Event-ID``."""
MOST_WATCHERS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEvent:
    number: int
    call_id: str
    tenant: str
    kind: str
    at_ms: int
    data: dict[str, Any]


@dataclass(slots=True, eq=False)
class Watcher:
    """One stream: what it wants, what waits for it."""

    tenant: str
    """``*``: of all tenants."""
    call_id: str = ""
    kinds: frozenset[str] = frozenset()
    waiting: deque[LiveEvent] = field(default_factory=deque)
    lost: int = 0
    """Dropped and not told yet."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wants(self, event: LiveEvent) -> bool:
        return (
            self.tenant in ("*", event.tenant)
            and self.call_id in ("", event.call_id)
            and (not self.kinds or event.kind in self.kinds)
        )

    def put(self, event: LiveEvent) -> None:
        if len(self.waiting) >= QUEUE_LIMIT:
            self.waiting.popleft()
            self.lost += 1
        self.waiting.append(event)
        self.changed.set()


class LiveHub:
    """From sessions to watchers. All methods belong to one event loop; none of them waits."""

    def __init__(self, *, life: str) -> None:
        """``life``: unlike that of any earlier run, so that an old ``Last-Event-ID`` is known as such."""
        self._life = life
        self._next = 1
        self._kept: deque[LiveEvent] = deque(maxlen=KEPT)
        self._watchers: set[Watcher] = set()
        self.is_closed = False

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    def publish(self, call_id: str, tenant: str, kind: str, at_ms: int, data: dict[str, Any], /) -> None:
        """Implements ``agent.ports.Watch``."""
        event = LiveEvent(number=self._next, call_id=call_id, tenant=tenant, kind=kind, at_ms=at_ms, data=dict(data))
        self._next += 1
        self._kept.append(event)
        for watcher in self._watchers:
            if watcher.wants(event):
                watcher.put(event)

    def join(self, watcher: Watcher, *, last_event_id: str = "") -> bool:
        """Feed a watcher from now on, or from where it was. ``False``: there are too many."""
        if len(self._watchers) >= MOST_WATCHERS or self.is_closed:
            return False
        self._watchers.add(watcher)
        if last_event_id:
            self._resume(watcher, last_event_id)
        return True

    def leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)

    def close(self) -> None:
        """The service stops: every stream ends."""
        self.is_closed = True
        for watcher in self._watchers:
            watcher.changed.set()

    def _resume(self, watcher: Watcher, last_event_id: str) -> None:
        life, _, number = last_event_id.rpartition("-")
        seen = int(number) if life == self._life and number.isascii() and number.isdigit() and len(number) < 16 else 0
        oldest = self._kept[0].number if self._kept else self._next
        watcher.lost = max(0, oldest - 1 - seen)  # of all calls: how many of them it wanted is not known any more
        for event in self._kept:
            if event.number > seen and watcher.wants(event):
                watcher.put(event)

    def lines(self, watcher: Watcher) -> Iterator[bytes]:
        """What waits for it, as the text of the stream; empties its queue."""
        watcher.changed.clear()
        if watcher.lost:
            lost, watcher.lost = watcher.lost, 0
            yield f"event: lost\ndata: {json.dumps({'count': lost})}\n\n".encode()
        while watcher.waiting:
            event = watcher.waiting.popleft()
            data = json.dumps(
                {"call_id": event.call_id, "at_ms": event.at_ms, "data": event.data},
                separators=(",", ":"),
                default=str,
            )
            yield f"id: {self._life}-{event.number}\nevent: {event.kind}\ndata: {data}\n\n".encode()
