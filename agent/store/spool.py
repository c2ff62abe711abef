"""The way of a write from a call to a store that may be away: one queue, one task, a journal file.

While the store is away writes are answered from what we know of our own calls and go to the journal; when it is back,
leases are renewed first and the journal is replayed in order. Writes are numbered per call, so one that was applied and
whose answer was lost does no harm.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

from agent.errors import StoreUnavailable, traced
from agent.events.names import LogEvent, WebhookEvent
from agent.logging import Log
from agent.store.errors import StoreRefused
from agent.store.interface import Outbox, Store
from agent.store.journal import Journal
from agent.store.known_calls import KnownCalls
from agent.store.writes import Create, Outcome, Status, Write, from_line
from telephony.clock import Clock

T = TypeVar("T")
SPILL_BATCH = 500
"""Writes that go to the journal with one sync."""
JOURNAL_RETRY_S = 0.5
"""Pause after the journal could not be written."""
_SLOW = "the store does not answer in time"
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


class Spool:
    """Owner of queue, journal and the knowledge of our own calls. Arguments as in ``ResilientStore``."""

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
        self.backing = backing
        self.journal = Journal(journal)
        self._owner = owner
        self.endpoints = endpoints
        self._wall = wall
        self._clock = clock
        self._log = log
        self._may_start_away = may_start_away
        self._rng = rng or random.Random()
        self.limits = limits or Limits()
        self.known = KnownCalls()
        self.lost: set[str] = set()
        self.queue: deque[_Queued] = deque()
        self._unanswered: list[_Queued] = []
        self._journal_again_at = 0.0
        self._wake = asyncio.Event()
        self._gone = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self.away = False
        self._reachable = True
        self._former_self = True
        """What the former self left behind has still to be replayed and ended."""
        self._replayed = 0
        self.back_at = 0.0
        """When the store came back last, on our clock."""
        self._away_since = 0.0
        self.reaped_at_start: list[str] = []
        self.on_events: Callable[[], None] | None = None
        """Called when events were stored: the deliverer's ``poke``."""
        self.dropped_timeline = 0
        """Timeline entries dropped under pressure."""
        self.dropped_writes = 0
        """Writes that no store would take: of calls that somebody else owns, or that are nowhere any more."""

    async def open(self) -> None:
        """Raises ``StoreUnavailable`` when the store cannot be used."""
        try:
            await asyncio.to_thread(self.journal.open)
        except BlockingIOError as error:
            raise StoreRefused(f"{self.journal.path}: another gateway uses this journal") from error
        except OSError as error:
            raise StoreRefused(f"{self.journal.path}: {error}") from error
        try:
            await self.backing.open()
            await self._come_back()
        except (StoreUnavailable, TimeoutError) as error:
            if isinstance(error, StoreRefused) or not self._may_start_away:
                await self.backing.close()
                self.journal.close()
                raise error if isinstance(error, StoreUnavailable) else StoreUnavailable(_SLOW) from error
            self.go_away(error)
        # The one task that this object owns: it lives from open to close, which no caller's TaskGroup spans.
        self._task = asyncio.create_task(self._run(), name="store")
        self._task.add_done_callback(self._stopped)
        self._log.info(LogEvent.STORE_OPENED, away=self.away, reaped=len(self.reaped_at_start))

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
        await self.backing.close()
        self.journal.close()

    async def put(self, write: Write) -> Outcome:
        if self._task is None or self._task.done():
            raise StoreUnavailable("the store is not open")
        return await asyncio.shield(self._enqueue(write).answer)  # a cancelled caller does not take its write back

    def _enqueue(self, write: Write) -> _Queued:
        queued = _Queued(write, asyncio.get_running_loop().create_future())
        self.queue.append(queued)
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
            while self.queue and not self.away:
                await self._send()
            if self.away:
                await self._spill()
                if self._reachable:
                    await self._return()
            if not self.queue and not self._wake.is_set():
                self._idle.set()

    async def _send(self) -> None:
        batch = list(islice(self.queue, self.limits.batch))
        try:
            outcomes = await self._apply([queued.write for queued in batch])
        except (StoreUnavailable, TimeoutError) as error:
            self.go_away(error)
            return
        for queued, outcome in zip(batch, outcomes, strict=True):
            self.queue.popleft()
            _answer(queued, outcome)
        self._unanswered = [queued for queued in self._unanswered if not queued.answer.done()]
        self._tell(batch)

    def _tell(self, batch: Sequence[_Queued]) -> None:
        if self.on_events is not None and any(getattr(queued.write, "events", ()) for queued in batch):
            self.on_events()

    async def _spill(self) -> None:
        """Move the queue into the journal. If that fails, too, writes stay in memory; their callers go on."""
        while self.queue and self._clock.now() >= self._journal_again_at:
            batch = list(islice(self.queue, SPILL_BATCH))
            try:
                await asyncio.to_thread(self.journal.append_writes, [queued.write for queued in batch])
            except OSError as error:
                self._journal_again_at = self._clock.now() + JOURNAL_RETRY_S
                self._log.error(LogEvent.STORE_AWAY, error=f"journal: {error}", writes=len(self.queue))
                break
            for _ in batch:
                self.queue.popleft()
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
        self.away = False
        if self.on_events is not None:
            self.on_events()
        self.back_at = self._clock.now()
        self._wake.set()
        self._log.info(LogEvent.STORE_BACK, away_s=round(self._clock.now() - self._away_since, 3), lost=len(self.lost))

    async def _come_back(self) -> None:
        """Leases first, then the journal in order, then the end of what the former self left behind."""
        await self.backing.set_endpoints(self.endpoints)
        stored = [known for known in self.known.live() if known.stored]
        for lease_s in {known.lease_s for known in stored}:
            calls = [(known.record.call_id, known.record.fence) for known in stored if known.lease_s == lease_s]
            await self.renew(self._owner, calls, lease_s=lease_s, now=self._wall())
        while True:
            lines, after = await asyncio.to_thread(self.journal.read, self._replayed, lines=self.limits.batch)
            if not lines:
                break
            began = self._clock.now()
            await self._apply(self._parsed(lines))
            self._replayed = after
            if self.away:
                await self._spill()
                await asyncio.sleep(self._clock.now() - began)  # half of the store's time is for the others
        if self.journal.size:
            await asyncio.to_thread(self.journal.clear)
        self._replayed = 0
        if self._former_self:
            keep = [known.record.call_id for known in self.known.live()]
            self.reaped_at_start = await self.backing.reap_owner(
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
        async with asyncio.timeout(self.limits.answer_s):
            outcomes = await self.backing.apply(writes)
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
                create = self.known.restoring(write, now=self._wall())
                if create is not None:
                    again.append(create)
            places.append(len(again))
            again.append(write)
        async with asyncio.timeout(self.limits.answer_s):
            outcomes = await self.backing.apply(again)
            for n in places:
                if outcomes[n].status is Status.GAP:  # a line of the journal was torn: better twice than never
                    outcomes[n] = (await self.backing.apply([_unnumbered(again[n])]))[0]
        return [outcomes[n] for n in places]

    def _learn(self, write: Write, outcome: Outcome) -> None:
        known = self.known.get(write.call_id)
        if isinstance(write, Create) and known is not None:
            known.stored = outcome.status in (Status.DONE, Status.DUPLICATE)
        if outcome.status in (Status.FENCED, Status.UNKNOWN):
            self.dropped_writes += 1
            if known is not None and outcome.status is Status.FENCED:
                self._lose(write.call_id)

    def _lose(self, call_id: str) -> None:
        self.lost.add(call_id)
        self.known.give_up(call_id)

    async def renew(self, owner: str, calls: Sequence[tuple[str, int]], *, lease_s: float, now: float) -> None:
        async with asyncio.timeout(self.limits.answer_s):
            gone = await self.backing.renew_leases(owner, calls, lease_s=lease_s, now=now)
            for call_id in gone:
                create = self.known.restoring_now(call_id, now=now)
                if create is None or await self.backing.get_call(call_id) is not None:
                    self._lose(call_id)
                else:
                    self._enqueue(create)

    async def ask(self, question: Awaitable[T]) -> T:
        if self.away:
            if asyncio.iscoroutine(question):
                question.close()
            raise StoreUnavailable("the store is away")
        try:
            async with asyncio.timeout(self.limits.answer_s):
                return await question
        except TimeoutError:
            raise StoreUnavailable(_SLOW) from None

    def go_away(self, error: BaseException) -> None:
        self._reachable = False
        if not self.away:
            self.away = True
            self._away_since = self._clock.now()
            self._log.warning(LogEvent.STORE_AWAY, error=str(error) or type(error).__name__)
        self._gone.set()
        self._wake.set()

    async def _probe(self) -> None:
        """Ask a store that is away again and again, with jittered pauses that double."""
        while True:
            await self._gone.wait()
            pause_s = self.limits.retry_min_s
            while self.away:
                await asyncio.sleep(pause_s * self._rng.uniform(0.8, 1.2))
                pause_s = min(2 * pause_s, self.limits.retry_max_s)
                if self.away and not self._reachable:
                    await self._look()
            self._gone.clear()

    async def _look(self) -> None:
        self._wake.set()  # a journal that could not be written is tried again, too
        try:
            async with asyncio.timeout(self.limits.answer_s):
                await self.backing.ping()
        except (StoreUnavailable, TimeoutError):
            return
        self._reachable = True
        self._wake.set()

    def _stopped(self, task: asyncio.Task[None]) -> None:
        """The task is over: nobody may wait for it for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            found = traced(error)
            self._log.error(LogEvent.STORE_AWAY, error=found[0], trace=found[1:])
        while self.queue:
            queued = self.queue.popleft()
            if not queued.answer.done():
                queued.answer.set_exception(StoreUnavailable("the store is closed"))
                queued.answer.exception()  # seen: its caller may be gone


def _answer(queued: _Queued, outcome: Outcome) -> None:
    if not queued.answer.done():
        queued.answer.set_result(outcome)


def _unnumbered(write: Write) -> Write:
    return replace(write, number=0)
