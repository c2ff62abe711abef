"""Which workers are connected, and which of them takes a call."""

from __future__ import annotations

from agent.errors import AdmissionRefused, SeatLost
from agent.model.protocol import Persona
from agent.pool.client import SeatHandle, WorkerClient
from agent.scheduler.floor.profile import FloorProfile


class WorkerRegistry:
    """The workers of one front. Spares stand by: they take calls only when a worker is lost."""

    def __init__(self) -> None:
        self._workers: list[WorkerClient] = []
        self._spares: list[WorkerClient] = []
        self._draining = False

    @property
    def workers(self) -> tuple[WorkerClient, ...]:
        """All that are connected, spares last."""
        self._prune()
        return (*self._workers, *self._spares)

    @property
    def room(self) -> int:
        """Free rows of the workers that take new calls."""
        self._prune()
        return 0 if self._draining else sum(worker.room for worker in self._workers)

    def add(self, client: WorkerClient, *, spare: bool = False) -> None:
        """A worker is connected."""
        (self._spares if spare else self._workers).append(client)

    def drain(self) -> None:
        """No new calls from now on; ``reseat`` of running ones still works."""
        self._draining = True

    async def open_seat(self, call_id: str, *, profile: FloorProfile, persona: Persona, record: str = "") -> SeatHandle:
        """A seat on the worker with most room. Raises ``AdmissionRefused``."""
        if self._draining:
            raise AdmissionRefused("draining")
        self._prune()
        return await self._open(self._workers, call_id, profile=profile, persona=persona, record=record)

    async def reseat(
        self, lost: SeatHandle, *, profile: FloorProfile, persona: Persona, record: str = ""
    ) -> SeatHandle:
        """Another seat for a call whose worker has died: a spare first (it becomes a worker), else who has room.

        A worker that lives and gave up only this call's row is asked again where there is no other.
        Raises ``AdmissionRefused`` where nobody can take it.
        """
        self._prune()
        others = [worker for worker in self._workers if worker is not lost.client]
        if lost.client.lost.is_set() and self._spares:
            spare = self._spares.pop(0)
            self._workers.append(spare)
            others.append(spare)
        if not others and not lost.client.lost.is_set():
            others.append(lost.client)
        return await self._open(others, lost.call_id, profile=profile, persona=persona, record=record)

    async def _open(
        self, candidates: list[WorkerClient], call_id: str, *, profile: FloorProfile, persona: Persona, record: str
    ) -> SeatHandle:
        refused = AdmissionRefused("no_worker" if not candidates else "pool_full", retry_after_s=5)
        for worker in sorted(candidates, key=lambda w: -w.room):
            if worker.room == 0:
                break
            try:
                return await worker.open_seat(call_id, profile=profile, persona=persona, record=record)
            except AdmissionRefused as error:
                refused = error
            except SeatLost:
                continue
        raise refused

    def _prune(self) -> None:
        self._workers = [worker for worker in self._workers if not worker.lost.is_set()]
        self._spares = [worker for worker in self._spares if not worker.lost.is_set()]
        if not self._workers and self._spares:
            self._workers.append(self._spares.pop(0))
