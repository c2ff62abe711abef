"""The store that the service uses: calls go on while the real one is away, and nothing of their lifecycle is lost.

Writes go through one queue and one task, so they keep their order. While the store is away they are answered from
what we know of our own calls and written to a journal file; when it is back, leases are renewed first and the journal
is replayed in order. Writes are numbered per call, so one that was applied and whose answer was lost does no harm.

At start the journal of the former self is replayed, then the calls that it left behind are ended (``gateway_lost``):
exactly one ``call.ended`` for each, also after ``kill -9``.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from agent.errors import Fenced, StoreUnavailable
from agent.events.names import LogEvent, WebhookEvent
from agent.logging import Log
from agent.store.errors import StoreRefused
from agent.store.facade import raise_if_fenced
from agent.store.interface import (
    CallRecord,
    CallState,
    Delivery,
    Event,
    Outbox,
    Store,
    StoredEvent,
    TimelineEntry,
)
from agent.store.journal import Journal
from agent.store.known_calls import KnownCalls
from agent.store.writes import (
    Create,
    End,
    Outcome,
    Status,
    Timeline,
    Update,
    Write,
    check_plain,
    checked_changes,
    cleaned_record,
    from_line,
)
from telephony.clock import Clock

T = TypeVar("T")
SUSPECT_S = 20.0
SPILL_BATCH = 500
"""Writes that go to the journal with one sync."""
JOURNAL_RETRY_S = 0.5
"""Pause after the journal could not be written."""
_DONE = Outcome(status=Status.DONE, fence=1)


class Backing(Store, Outbox, Protocol):
    """A real store."""

    async def apply(self, writes: Sequence[Write]) -> list[Outcome]: ...

    async def ping(self) -> None: ...

    async def expired(self, *, now: float, skip_owners: Sequence[str] = ()) -> list[str]:
        """Live calls whose lease is over."""
        ...

    async def reap(
        self,
        *,
        now: float,
        grace_s: float,
        event_name: str,
        skip_owners: Sequence[str] = (),
        only: Collection[str] | None = None,
    ) -> list[str]:
        """As in ``Store``; ``only`` these."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    batch: int = 200
    """Writes that go to the store together."""
    answer_s: float = 1.0
    """A store that has not answered a batch after that is away."""
    retry_min_s: float = 0.05
    retry_max_s: float = 1.0
    memory_writes: int = 10_000
    """Writes in memory; above it timeline entries are dropped and new calls refused. Lifecycle writes always go in."""
    timeline_bytes: int = 32 * 2**20
    """Journal size above which timeline entries are dropped."""
    journal_bytes: int = 512 * 2**20
    """Journal size above which new calls are refused."""


@dataclass(slots=True)
class _Queued:
    write: Write
    answer: asyncio.Future[Outcome]


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
        self._backing = backing
        self._journal = Journal(journal)
        self._owner = owner
        self._endpoints = endpoints
        self._wall = wall
        self._clock = clock
        self._log = log
        self._may_start_away = may_start_away
        self._rng = rng or random.Random()
        self._limits = limits or Limits()
        self._known = KnownCalls()
        self._lost: set[str] = set()
        self._suspects: dict[str, float] = {}
        self._queue: deque[_Queued] = deque()
        self._unanswered: list[_Queued] = []
        self._journal_again_at = 0.0
        self._wake = asyncio.Event()
        self._gone = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._away = False
        self._reachable = True
        self._former_self = True
        """What the former self left behind has still to be replayed and ended."""
        self._replayed = 0
        self._no_reap_before = 0.0
        self._away_since = 0.0
        self.reaped_at_start: list[str] = []
        self.on_events: Callable[[], None] | None = None
        """Called when events were stored: the deliverer's ``poke``."""
        self.dropped_timeline = 0
        """Timeline entries dropped under pressure."""
        self.dropped_writes = 0
        """Writes that no store would take: of calls that somebody else owns, or that are nowhere any more."""

    # --- life ---

    async def open(self) -> None:
        """Raises ``StoreUnavailable`` when the store cannot be used."""
        try:
            await asyncio.to_thread(self._journal.open)
        except BlockingIOError as error:
            raise StoreRefused(f"{self._journal.path}: another gateway uses this journal") from error
        except OSError as error:
            raise StoreRefused(f"{self._journal.path}: {error}") from error
        try:
            await self._backing.open()
            await self._come_back()
        except (StoreUnavailable, TimeoutError) as error:
            if isinstance(error, StoreRefused) or not self._may_start_away:
                self._journal.close()
                raise
            self._go_away(error)
        # The one task that this object owns: it lives from open to close, which no caller's TaskGroup spans.
        self._task = asyncio.create_task(self._run(), name="store")
        self._task.add_done_callback(self._stopped)
        self._log.info(LogEvent.STORE_OPENED, away=self._away, reaped=len(self.reaped_at_start))

    async def close(self, *, timeout_s: float = 2.0) -> None:
        """Write what is queued (to the store, or to the journal if it is away), then close."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            pass
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._backing.close()
        self._journal.close()

    @property
    def is_away(self) -> bool:
        return self._away

    @property
    def backlog_bytes(self) -> int:
        """Journal that waits for the store."""
        return self._journal.size

    @property
    def backlog_writes(self) -> int:
        """Writes in memory."""
        return len(self._queue)

    # --- Store: writes ---

    async def create_call(self, record: CallRecord, events: Sequence[Event], *, lease_s: float, now: float) -> int:
        if record.call_id in self._known:
            raise Fenced(f"call {record.call_id} is there already")
        limits = self._limits
        if len(self._queue) >= limits.memory_writes or self._journal.size >= limits.journal_bytes:
            raise StoreUnavailable("the store is away and its journal is full")
        check_plain(record.data, *(event.data for event in events))
        write = self._known.add(cleaned_record(record), tuple(events), lease_s=lease_s, now=now)
        outcome = await self._put(write)
        if outcome.status not in (Status.DONE, Status.DUPLICATE):
            self._known.forget(record.call_id)
            raise Fenced(f"call {record.call_id} is there already")
        return outcome.fence

    async def update_call(
        self, call_id: str, fence: int, changes: dict[str, Any], events: Sequence[Event], *, now: float
    ) -> None:
        changes = checked_changes(changes, events)
        check_plain(changes, *(event.data for event in events))
        write = Update(call_id=call_id, fence=fence, changes=changes, events=tuple(events), now=now)
        raise_if_fenced(call_id, await self._put(self._known.numbered(write)))

    async def end_call(
        self, call_id: str, fence: int, *, result: str, reason: str, data: dict[str, Any], event: Event, now: float
    ) -> bool:
        known = self._known.get(call_id)
        if known is not None and known.ended and known.record.fence == fence:
            return False
        check_plain(data, event.data)
        write = End(call_id=call_id, fence=fence, result=result, reason=reason, data=data, events=(event,), now=now)
        outcome = await self._put(self._known.numbered(write))
        raise_if_fenced(call_id, outcome)
        return outcome.status is not Status.ENDED

    async def append_timeline(self, call_id: str, entries: Sequence[TimelineEntry]) -> None:
        limits = self._limits
        if len(self._queue) >= limits.memory_writes // 2 or self._journal.size >= limits.timeline_bytes:
            self.dropped_timeline += len(entries)
        elif entries:
            check_plain(*(entry.data for entry in entries))
            await self._put(self._known.numbered(Timeline(call_id=call_id, entries=tuple(entries))))

    async def renew_leases(
        self, owner: str, calls: Sequence[tuple[str, int]], *, lease_s: float, now: float
    ) -> list[str]:
        """While the store is away nobody can take a call: then only what we know to be lost is told."""
        if not self._away:
            stored = [(call_id, fence) for call_id, fence in calls if self._is_stored(call_id)]
            try:
                await self._renew(owner, stored, lease_s=lease_s, now=now)
            except (StoreUnavailable, TimeoutError) as error:
                self._go_away(error)
        return [call_id for call_id, _ in calls if call_id in self._lost]

    async def reap(self, *, now: float, grace_s: float, event_name: str, skip_owners: Sequence[str] = ()) -> list[str]:
        """Never our own calls, and only those whose lease was over in an earlier sweep ``SUSPECT_S`` ago as well.

        A jump of the server's clock ends every lease at once; owners that live renew theirs before the second look.
        After an outage nothing is reaped for ``grace_s``: others have to renew their leases first.
        """
        at = self._clock.now()
        if self._away or at < self._no_reap_before + grace_s:
            self._suspects.clear()
            return []
        skip = (*skip_owners, self._owner)
        found = await self._ask(self._backing.expired(now=now, skip_owners=skip))
        self._suspects = {call_id: self._suspects.get(call_id, at) for call_id in found}
        ripe = {call_id for call_id, since in self._suspects.items() if at - since >= SUSPECT_S}
        if not ripe:
            return []
        return await self._ask(
            self._backing.reap(now=now, grace_s=grace_s, event_name=event_name, skip_owners=skip, only=ripe)
        )

    async def reap_owner(self, owner: str, *, now: float, event_name: str, keep: Sequence[str] = ()) -> list[str]:
        keep = [*keep, *(known.record.call_id for known in self._known.live())]
        return await self._ask(self._backing.reap_owner(owner, now=now, event_name=event_name, keep=keep))

    # --- Store: reads ---

    async def get_call(self, call_id: str) -> CallRecord | None:
        known = self._known.get(call_id)
        try:
            found = await self._ask(self._backing.get_call(call_id))
        except StoreUnavailable:
            if known is None:
                raise
            return known.record
        return found if found is not None or known is None else known.record

    async def list_calls(
        self, *, limit: int = 50, before: str | None = None, state: CallState | None = None
    ) -> list[CallRecord]:
        """While the store is away: our own live calls."""
        if not self._away:
            return await self._ask(self._backing.list_calls(limit=limit, before=before, state=state))
        records = [known.record for known in self._known.live() if state in (None, known.record.state)]
        records.sort(key=lambda record: (record.created_at, record.call_id), reverse=True)
        if before is not None:
            places = [n for n, record in enumerate(records) if record.call_id == before]
            records = records[places[0] + 1 :] if places else []
        return records[:limit]

    async def timeline(self, call_id: str) -> list[TimelineEntry]:
        return await self._ask(self._backing.timeline(call_id))

    async def events_of(self, call_id: str) -> list[StoredEvent]:
        return await self._ask(self._backing.events_of(call_id))

    # --- Outbox: nothing to deliver from while the store is away ---

    async def set_endpoints(self, endpoints: dict[str, Sequence[str]]) -> None:
        self._endpoints = endpoints
        if not self._away:
            await self._ask(self._backing.set_endpoints(endpoints))

    async def claim(
        self, worker: str, *, limit: int, now: float, claim_s: float, endpoint: str | None = None
    ) -> list[Delivery]:
        return await self._ask(self._backing.claim(worker, limit=limit, now=now, claim_s=claim_s, endpoint=endpoint))

    async def delivered(self, delivery_id: str, *, attempt: dict[str, Any], now: float) -> None:
        await self._ask(self._backing.delivered(delivery_id, attempt=attempt, now=now))

    async def failed(self, delivery_id: str, *, attempt: dict[str, Any], retry_at: float | None, now: float) -> None:
        await self._ask(self._backing.failed(delivery_id, attempt=attempt, retry_at=retry_at, now=now))

    async def attempts(self, call_id: str) -> list[dict[str, Any]]:
        return await self._ask(self._backing.attempts(call_id))

    async def backlog(self) -> int:
        return await self._ask(self._backing.backlog())

    # --- the way of a write ---

    async def _put(self, write: Write) -> Outcome:
        if self._task is None or self._task.done():
            raise StoreUnavailable("the store is not open")
        return await asyncio.shield(self._enqueue(write).answer)  # a cancelled caller does not take its write back

    def _enqueue(self, write: Write) -> _Queued:
        queued = _Queued(write, asyncio.get_running_loop().create_future())
        self._queue.append(queued)
        self._unanswered.append(queued)
        self._idle.clear()
        self._wake.set()
        return queued

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._flush())
            group.create_task(self._probe())

    async def _flush(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue and not self._away:
                await self._send()
            if self._away:
                await self._spill()
                if self._reachable:
                    await self._return()
            if not self._queue and not self._wake.is_set():
                self._idle.set()

    async def _send(self) -> None:
        batch = list(islice(self._queue, self._limits.batch))
        try:
            outcomes = await self._apply([queued.write for queued in batch])
        except (StoreUnavailable, TimeoutError) as error:
            self._go_away(error)
            return
        for queued, outcome in zip(batch, outcomes, strict=True):
            self._queue.popleft()
            _answer(queued, outcome)
        self._unanswered = [queued for queued in self._unanswered if not queued.answer.done()]
        self._tell(batch)

    def _tell(self, batch: Sequence[_Queued]) -> None:
        if self.on_events is not None and any(getattr(queued.write, "events", ()) for queued in batch):
            self.on_events()

    async def _spill(self) -> None:
        """Move the queue into the journal. If that fails, too, writes stay in memory; their callers go on."""
        while self._queue and self._clock.now() >= self._journal_again_at:
            batch = list(islice(self._queue, SPILL_BATCH))
            try:
                await asyncio.to_thread(self._journal.append_writes, [queued.write for queued in batch])
            except OSError as error:
                self._journal_again_at = self._clock.now() + JOURNAL_RETRY_S
                self._log.error(LogEvent.STORE_AWAY, error=f"journal: {error}", writes=len(self._queue))
                break
            for _ in batch:
                self._queue.popleft()
        unanswered, self._unanswered = self._unanswered, []
        for queued in unanswered:
            _answer(queued, _DONE)

    async def _return(self) -> None:
        """The store answers again. New writes go behind the journal until it is empty."""
        try:
            await self._come_back()
        except (StoreUnavailable, TimeoutError):
            self._reachable = False
            return
        except OSError as error:
            self._log.error(LogEvent.STORE_AWAY, error=f"journal: {error}")
            self._reachable = False
            return
        self._away = False
        if self.on_events is not None:
            self.on_events()
        self._no_reap_before = self._clock.now()
        self._wake.set()
        self._log.info(LogEvent.STORE_BACK, away_s=round(self._clock.now() - self._away_since, 3), lost=len(self._lost))

    async def _come_back(self) -> None:
        """Leases first, then the journal in order, then the end of what the former self left behind."""
        await self._backing.set_endpoints(self._endpoints)
        stored = [known for known in self._known.live() if known.stored]
        for lease_s in {known.lease_s for known in stored}:
            calls = [(known.record.call_id, known.record.fence) for known in stored if known.lease_s == lease_s]
            await self._renew(self._owner, calls, lease_s=lease_s, now=self._wall())
        while True:
            lines, after = await asyncio.to_thread(self._journal.read, self._replayed, lines=self._limits.batch)
            if not lines:
                break
            began = self._clock.now()
            await self._apply(self._parsed(lines))
            self._replayed = after
            if self._away:
                await self._spill()
                await asyncio.sleep(self._clock.now() - began)  # half of the store's time is for the others
        if self._journal.size:
            await asyncio.to_thread(self._journal.clear)
        self._replayed = 0
        if self._former_self:
            keep = [known.record.call_id for known in self._known.live()]
            self.reaped_at_start = await self._backing.reap_owner(
                self._owner, now=self._wall(), event_name=WebhookEvent.CALL_ENDED, keep=keep
            )
            self._former_self = False
            for call_id in self.reaped_at_start:
                self._log.warning(LogEvent.CALL_REAPED, call_id=call_id)

    def _parsed(self, lines: Sequence[bytes]) -> list[Write]:
        writes = []
        for line in lines:
            try:
                writes.append(from_line(line))
            except ValueError:
                self.dropped_writes += bool(line.strip())  # torn by a kill
        return writes

    # --- the store ---

    async def _apply(self, writes: Sequence[Write]) -> list[Outcome]:
        """Outcomes of the writes, after a second try of those whose call or predecessor the store had lost."""
        if not writes:
            return []
        async with asyncio.timeout(self._limits.answer_s):
            outcomes = await self._backing.apply(writes)
        missing = [n for n, outcome in enumerate(outcomes) if outcome.status in (Status.UNKNOWN, Status.GAP)]
        if missing:
            for n, outcome in zip(missing, await self._mend([writes[n] for n in missing]), strict=True):
                outcomes[n] = outcome
        for write, outcome in zip(writes, outcomes, strict=True):
            self._learn(write, outcome)
        return outcomes

    async def _mend(self, writes: Sequence[Write]) -> list[Outcome]:
        """The store lost these calls (it came back empty or older): put them back as we know them, and go on."""
        again: list[Write] = []
        places: list[int] = []
        restored: set[str] = set()
        for write in writes:
            if write.call_id not in restored:
                restored.add(write.call_id)
                create = self._known.restoring(write, now=self._wall())
                if create is not None:
                    again.append(create)
            places.append(len(again))
            again.append(write)
        async with asyncio.timeout(self._limits.answer_s):
            outcomes = await self._backing.apply(again)
            for n in places:
                if outcomes[n].status is Status.GAP:  # a line of the journal was torn: better twice than never
                    outcomes[n] = (await self._backing.apply([_unnumbered(again[n])]))[0]
        return [outcomes[n] for n in places]

    def _learn(self, write: Write, outcome: Outcome) -> None:
        known = self._known.get(write.call_id)
        if isinstance(write, Create) and known is not None:
            known.stored = outcome.status in (Status.DONE, Status.DUPLICATE)
        if outcome.status in (Status.FENCED, Status.UNKNOWN):
            self.dropped_writes += 1
            if known is not None and outcome.status is Status.FENCED:
                self._lost.add(write.call_id)

    def _is_stored(self, call_id: str) -> bool:
        known = self._known.get(call_id)
        return known is None or known.stored

    async def _renew(self, owner: str, calls: Sequence[tuple[str, int]], *, lease_s: float, now: float) -> None:
        async with asyncio.timeout(self._limits.answer_s):
            gone = await self._backing.renew_leases(owner, calls, lease_s=lease_s, now=now)
            for call_id in gone:
                create = self._known.restoring_now(call_id, now=now)
                if create is None or await self._backing.get_call(call_id) is not None:
                    self._lost.add(call_id)
                else:
                    self._enqueue(create)

    async def _ask(self, question: Awaitable[T]) -> T:
        if self._away:
            if asyncio.iscoroutine(question):
                question.close()
            raise StoreUnavailable("the store is away")
        try:
            async with asyncio.timeout(self._limits.answer_s):
                return await question
        except TimeoutError:
            raise StoreUnavailable("the store does not answer in time") from None

    def _go_away(self, error: BaseException) -> None:
        self._reachable = False
        if not self._away:
            self._away = True
            self._away_since = self._clock.now()
            self._log.warning(LogEvent.STORE_AWAY, error=str(error) or type(error).__name__)
        self._gone.set()
        self._wake.set()

    async def _probe(self) -> None:
        """Ask a store that is away again and again, with jittered pauses that double."""
        while True:
            await self._gone.wait()
            pause_s = self._limits.retry_min_s
            while self._away:
                await asyncio.sleep(pause_s * self._rng.uniform(0.8, 1.2))
                pause_s = min(2 * pause_s, self._limits.retry_max_s)
                if self._away and not self._reachable:
                    await self._look()
            self._gone.clear()

    async def _look(self) -> None:
        self._wake.set()  # a journal that could not be written is tried again, too
        try:
            async with asyncio.timeout(self._limits.answer_s):
                await self._backing.ping()
        except (StoreUnavailable, TimeoutError):
            return
        self._reachable = True
        self._wake.set()

    def _stopped(self, task: asyncio.Task[None]) -> None:
        """The task is over: nobody may wait for it for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error(LogEvent.STORE_AWAY, error=repr(error))
        while self._queue:
            queued = self._queue.popleft()
            if not queued.answer.done():
                queued.answer.set_exception(StoreUnavailable("the store is closed"))
                queued.answer.exception()  # seen: its caller may be gone


def _answer(queued: _Queued, outcome: Outcome) -> None:
    if not queued.answer.done():
        queued.answer.set_result(outcome)


def _unnumbered(write: Write) -> Write:
    return replace(write, number=0)
