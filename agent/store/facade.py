"""What every store does the same way: the calls of ``Store`` that write, said as ``Write``s."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from agent.errors import Fenced
from agent.store.interface import CallRecord, Event, TimelineEntry
from agent.store.writes import Create, End, Outcome, Status, Timeline, Update, Write, checked_changes, cleaned_record


class WritingStore(ABC):
    """Base of stores: they apply writes in the given order, each one atomically."""

    @abstractmethod
    async def apply(self, writes: Sequence[Write]) -> list[Outcome]:
        """One outcome per write. Raises ``StoreUnavailable``; then any of them may have been applied."""

    @abstractmethod
    async def ping(self) -> None:
        """Return when a write would succeed now; opens the store if it is not open. Raises ``StoreUnavailable``."""

    async def create_call(self, record: CallRecord, events: Sequence[Event], *, lease_s: float, now: float) -> int:
        record = cleaned_record(record)
        write = Create(call_id=record.call_id, record=record, events=tuple(events), lease_s=lease_s, now=now)
        outcome = (await self.apply([write]))[0]
        if outcome.status is not Status.DONE:
            raise Fenced(f"call {record.call_id} is there already")
        return outcome.fence

    async def update_call(
        self, call_id: str, fence: int, changes: dict[str, Any], events: Sequence[Event], *, now: float
    ) -> None:
        changes = checked_changes(changes, events)
        write = Update(call_id=call_id, fence=fence, changes=changes, events=tuple(events), now=now)
        raise_if_fenced(call_id, (await self.apply([write]))[0])

    async def end_call(
        self, call_id: str, fence: int, *, result: str, reason: str, data: dict[str, Any], event: Event, now: float
    ) -> bool:
        write = End(call_id=call_id, fence=fence, result=result, reason=reason, data=data, events=(event,), now=now)
        outcome = (await self.apply([write]))[0]
        raise_if_fenced(call_id, outcome)
        return outcome.status is Status.DONE

    async def append_timeline(self, call_id: str, entries: Sequence[TimelineEntry]) -> None:
        """Entries of a call that is not there are dropped."""
        if entries:
            await self.apply([Timeline(call_id=call_id, entries=tuple(entries))])


def raise_if_fenced(call_id: str, outcome: Outcome) -> None:
    if outcome.status is Status.UNKNOWN:
        raise Fenced(f"call {call_id} is not in the store")
    if outcome.status is Status.FENCED:
        raise Fenced(f"call {call_id} belongs to somebody else now")
