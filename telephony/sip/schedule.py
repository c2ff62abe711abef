"""One earliest deadline over many owners of timers. Pure."""

from __future__ import annotations

import heapq
from typing import Protocol


class Timed(Protocol):
    """Something that may have a next deadline (transactions, calls)."""

    def next_deadline(self) -> float | None: ...


class Schedule:
    """A heap with lazy deletion: ``update`` after an owner was touched, ``due`` for those whose time has come."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timed]] = []
        self._armed: dict[Timed, float] = {}
        self._count = 0

    def update(self, owner: Timed) -> None:
        """Look at the owner's deadline again."""
        deadline = owner.next_deadline()
        if deadline is None:
            self._armed.pop(owner, None)
        elif self._armed.get(owner) != deadline:
            self._armed[owner] = deadline
            self._count += 1
            heapq.heappush(self._heap, (deadline, self._count, owner))

    def next_deadline(self) -> float | None:
        """Earliest deadline of all owners."""
        while self._heap and self._armed.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[Timed]:
        """Owners whose deadline has come, earliest first; each must be passed to ``update`` afterwards."""
        owners = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            owner = heapq.heappop(self._heap)[2]
            del self._armed[owner]
            owners.append(owner)
        return owners
