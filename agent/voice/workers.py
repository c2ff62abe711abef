"""The processes of one voice: started together, replaced one by one, given up when they die too often."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from agent.errors import VoiceFailed
from agent.voice.worker import Spawn, VoiceWorker

MOST_DEATHS, DEATHS_WITHIN_S = 8, 30.0
"""More deaths than that and no new process is started: something is wrong that a restart does not cure."""


class VoiceWorkers:
    """Owner of the processes. A process keeps its place when it is replaced."""

    def __init__(self, spawn: Spawn, *, what: str, on_death: Callable[[int], None] | None = None) -> None:
        """``what``: how an error names a process. ``on_death(pid)``: told of each that ended by itself."""
        self._start_one = spawn
        self._what = what
        self._told = on_death
        self._workers: list[VoiceWorker] = []
        self._deaths: deque[float] = deque(maxlen=MOST_DEATHS)
        self._stopped = False
        self.restarts = 0
        """Processes that had to be replaced."""

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[VoiceWorker]:
        return iter(self._workers)

    def __getitem__(self, place: int) -> VoiceWorker:
        return self._workers[place]

    async def start(self, count: int, *, within_s: float) -> bytes:
        """Start ``count`` processes and wait until they are ready; what one says of itself. Raises ``VoiceFailed``."""
        self._stopped = False
        self._workers = [self._spawn() for _ in range(count)]
        try:
            said = [await worker.ready(within_s) for worker in self._workers]
        except VoiceFailed:
            await self._close()
            raise
        return said[0]

    async def stop(self) -> None:
        """End all; none is started any more."""
        self._stopped = True
        await self._close()

    async def _close(self) -> None:
        workers, self._workers = self._workers, []
        for worker in workers:
            await worker.close()

    def least_busy(self) -> VoiceWorker:
        """The process with the least to do; equals take turns. Raises ``VoiceFailed`` when there is none."""
        self._need_one()
        chosen = min(self._workers, key=lambda worker: worker.open_requests)
        self._workers.remove(chosen)
        self._workers.append(chosen)
        return chosen

    def at(self, number: int) -> VoiceWorker:
        """The same process for the same number, while it lives. Raises ``VoiceFailed`` when there is none."""
        self._need_one()
        return self._workers[number % len(self._workers)]

    def _need_one(self) -> None:
        if not self._workers and self._may_restart():
            self._workers.append(self._spawn())
        if not self._workers:
            raise VoiceFailed(f"no {self._what} is alive")

    def _spawn(self) -> VoiceWorker:
        try:
            return VoiceWorker(self._start_one, on_death=self._replace)
        except OSError as refused:
            raise VoiceFailed(f"no {self._what} can be started: {refused}") from None

    def _may_restart(self) -> bool:
        now = asyncio.get_running_loop().time()
        return not self._stopped and (len(self._deaths) < MOST_DEATHS or now - self._deaths[0] > DEATHS_WITHIN_S)

    def _replace(self, dead: VoiceWorker) -> None:
        """A process ended by itself: start another in its place, unless that has happened too often."""
        if dead not in self._workers:
            return
        place = self._workers.index(dead)
        may = self._may_restart()
        self._workers.remove(dead)
        self._deaths.append(asyncio.get_running_loop().time())
        if may:
            self.restarts += 1
            with suppress(VoiceFailed):  # whoever needs one tries again, and is told
                self._workers.insert(place, self._spawn())
        if self._told is not None:
            self._told(dead.pid)
