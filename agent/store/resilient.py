"""The store that the service uses: calls go on while the real one is away, and nothing of their lifecycle is lost.

At start the journal of the former self is replayed, then the calls that it left behind are ended (``gateway_lost``):
exactly one ``call.ended`` for each, also after ``kill -9``. The way of a write is in ``spool``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent.errors import Fenced, StoreUnavailable
from agent.logging import Log
from agent.store.facade import raise_if_fenced
from agent.store.interface import CallRecord, CallState, Delivery, Event, StoredEvent, TimelineEntry
from agent.store.spool import Backing, Limits, Spool
from agent.store.writes import End, Status, Timeline, Update, check_plain, checked_changes, cleaned_record
from telephony.clock import Clock

SUSPECT_S = 20.0


class ResilientStore:
    """Store and outbox over a real one. ``owner`` is this gateway: its former calls are ended at ``open``."""

    def __init__(
        self,
        backing: Backing,
        *,
        journal: Path,
        owner: str,
        endpoints: dict[str, Sequence[str]],
        wall: Callable[[], float],
        clock: Clock,
        log: Log,
        may_start_away: bool,
        rng: random.Random | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._owner = owner
        self._clock = clock
        self._suspects: dict[str, float] = {}
        self._spool = Spool(
            backing,
            journal=journal,
            owner=owner,
            endpoints=endpoints,
            wall=wall,
            clock=clock,
            log=log,
            may_start_away=may_start_away,
            rng=rng,
            limits=limits,
        )

    async def open(self) -> None:
        """Replay the journal and end the former self's calls. Raises ``StoreUnavailable``: the store cannot be used."""
        await self._spool.open()

    async def close(self, *, timeout_s: float = 2.0) -> None:
        """Write what is queued (to the store, or to the journal if it is away), then close."""
        await self._spool.close(timeout_s=timeout_s)

    def tell_of_events(self, poke: Callable[[], None]) -> None:
        """``poke`` is called when events were stored: the deliverer's own."""
        self._spool.on_events = poke

    @property
    def is_away(self) -> bool:
        return self._spool.away

    @property
    def backlog_bytes(self) -> int:
        """Journal that waits for the store."""
        return self._spool.journal.size

    @property
    def backlog_writes(self) -> int:
        """Writes in memory."""
        return len(self._spool.queue)

    @property
    def reaped_at_start(self) -> list[str]:
        """Calls of the former self that were ended at start."""
        return self._spool.reaped_at_start

    @property
    def dropped_timeline(self) -> int:
        """Timeline entries dropped under pressure."""
        return self._spool.dropped_timeline

    @property
    def dropped_writes(self) -> int:
        """Writes that no store would take: of calls that somebody else owns, or that are nowhere any more."""
        return self._spool.dropped_writes

    # --- Store: writes ---

    async def create_call(self, record: CallRecord, events: Sequence[Event], *, lease_s: float, now: float) -> int:
        if record.call_id in self._spool.known:
            raise Fenced(f"call {record.call_id} is there already")
        limits = self._spool.limits
        if len(self._spool.queue) >= limits.memory_writes or self._spool.journal.size >= limits.journal_bytes:
            raise StoreUnavailable("the store is away and its journal is full")
        check_plain(record.data, *(event.data for event in events))
        write = self._spool.known.add(cleaned_record(record), tuple(events), lease_s=lease_s, now=now)
        outcome = await self._spool.put(write)
        if outcome.status not in (Status.DONE, Status.DUPLICATE):
            self._spool.known.forget(record.call_id)
            raise Fenced(f"call {record.call_id} is there already")
        return outcome.fence

    async def update_call(
        self, call_id: str, fence: int, changes: dict[str, Any], events: Sequence[Event], *, now: float
    ) -> None:
        changes = checked_changes(changes, events)
        check_plain(changes, *(event.data for event in events))
        write = Update(call_id=call_id, fence=fence, changes=changes, events=tuple(events), now=now)
        raise_if_fenced(call_id, await self._spool.put(self._spool.known.numbered(write)))

    async def end_call(
        self, call_id: str, fence: int, *, result: str, reason: str, data: dict[str, Any], event: Event, now: float
    ) -> bool:
        known = self._spool.known.get(call_id)
        if known is not None and known.ended and known.record.fence == fence:
            return False
        check_plain(data, event.data)
        write = End(call_id=call_id, fence=fence, result=result, reason=reason, data=data, events=(event,), now=now)
        outcome = await self._spool.put(self._spool.known.numbered(write))
        raise_if_fenced(call_id, outcome)
        return outcome.status is not Status.ENDED

    async def append_timeline(self, call_id: str, entries: Sequence[TimelineEntry]) -> None:
        limits = self._spool.limits
        if len(self._spool.queue) >= limits.memory_writes // 2 or self._spool.journal.size >= limits.timeline_bytes:
            self._spool.dropped_timeline += len(entries)
        elif entries:
            check_plain(*(entry.data for entry in entries))
            await self._spool.put(self._spool.known.numbered(Timeline(call_id=call_id, entries=tuple(entries))))

    async def renew_leases(
        self, owner: str, calls: Sequence[tuple[str, int]], *, lease_s: float, now: float
    ) -> list[str]:
        """While the store is away nobody can take a call: then only what we know to be lost is told."""
        if not self._spool.away:
            stored = [(call_id, fence) for call_id, fence in calls if self._is_stored(call_id)]
            try:
                await self._spool.renew(owner, stored, lease_s=lease_s, now=now)
            except (StoreUnavailable, TimeoutError) as error:
                self._spool.go_away(error)
        return [call_id for call_id, _ in calls if call_id in self._spool.lost]

    async def reap(self, *, now: float, grace_s: float, event_name: str, skip_owners: Sequence[str] = ()) -> list[str]:
        """Never our own calls, and only those whose lease was over in an earlier sweep ``SUSPECT_S`` ago as well.

        A jump of the server's clock ends every lease at once; owners that live renew theirs before the second look.
        After an outage nothing is reaped for ``grace_s``: others have to renew their leases first.
        """
        at = self._clock.now()
        if self._spool.away or at < self._spool.back_at + grace_s:
            self._suspects.clear()
            return []
        skip = (*skip_owners, self._owner)
        found = await self._spool.ask(self._spool.backing.expired(now=now, skip_owners=skip))
        self._suspects = {call_id: self._suspects.get(call_id, at) for call_id in found}
        ripe = {call_id for call_id, since in self._suspects.items() if at - since >= SUSPECT_S}
        if not ripe:
            return []
        return await self._spool.ask(
            self._spool.backing.reap(now=now, grace_s=grace_s, event_name=event_name, skip_owners=skip, only=ripe)
        )

    async def reap_owner(self, owner: str, *, now: float, event_name: str, keep: Sequence[str] = ()) -> list[str]:
        keep = [*keep, *(known.record.call_id for known in self._spool.known.live())]
        return await self._spool.ask(self._spool.backing.reap_owner(owner, now=now, event_name=event_name, keep=keep))

    # --- Store: reads ---

    async def get_call(self, call_id: str) -> CallRecord | None:
        known = self._spool.known.get(call_id)
        try:
            found = await self._spool.ask(self._spool.backing.get_call(call_id))
        except StoreUnavailable:
            if known is None:
                raise
            return known.record
        return found if found is not None or known is None else known.record

    async def list_calls(
        self, *, limit: int = 50, before: str | None = None, state: CallState | None = None
    ) -> list[CallRecord]:
        """While the store is away: our own live calls."""
        if not self._spool.away:
            return await self._spool.ask(self._spool.backing.list_calls(limit=limit, before=before, state=state))
        records = [known.record for known in self._spool.known.live() if state in (None, known.record.state)]
        records.sort(key=lambda record: (record.created_at, record.call_id), reverse=True)
        if before is not None:
            places = [n for n, record in enumerate(records) if record.call_id == before]
            records = records[places[0] + 1 :] if places else []
        return records[:limit]

    async def timeline(self, call_id: str) -> list[TimelineEntry]:
        return await self._spool.ask(self._spool.backing.timeline(call_id))

    async def events_of(self, call_id: str) -> list[StoredEvent]:
        return await self._spool.ask(self._spool.backing.events_of(call_id))

    # --- Outbox: nothing to deliver from while the store is away ---

    async def set_endpoints(self, endpoints: dict[str, Sequence[str]]) -> None:
        self._spool.endpoints = endpoints
        if not self._spool.away:
            await self._spool.ask(self._spool.backing.set_endpoints(endpoints))

    async def claim(
        self, worker: str, *, limit: int, now: float, claim_s: float, endpoint: str | None = None
    ) -> list[Delivery]:
        return await self._spool.ask(
            self._spool.backing.claim(worker, limit=limit, now=now, claim_s=claim_s, endpoint=endpoint)
        )

    async def delivered(self, delivery_id: str, *, attempt: dict[str, Any], now: float) -> None:
        await self._spool.ask(self._spool.backing.delivered(delivery_id, attempt=attempt, now=now))

    async def failed(self, delivery_id: str, *, attempt: dict[str, Any], retry_at: float | None, now: float) -> None:
        await self._spool.ask(self._spool.backing.failed(delivery_id, attempt=attempt, retry_at=retry_at, now=now))

    async def attempts(self, call_id: str) -> list[dict[str, Any]]:
        return await self._spool.ask(self._spool.backing.attempts(call_id))

    async def backlog(self) -> int:
        return await self._spool.ask(self._spool.backing.backlog())

    def _is_stored(self, call_id: str) -> bool:
        known = self._spool.known.get(call_id)
        return known is None or known.stored
