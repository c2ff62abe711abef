"""A call's seat on a worker: claimed, lost with its worker, claimed again; and what was recorded on each.

The session hears of a loss and moves the call; nothing here decides whether it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.pool.messages import SeatMessage
from agent.ports import SeatLease
from agent.services import Services

RESEAT_S: Final = 10.0
"""How long a call whose worker died waits for another seat."""
MOST_LOSSES: Final = 2
"""A call that was on board of more dead workers may be what kills them."""
WRITTEN_WITHIN_S: Final = 1.0
"""A dead worker's recorder ends its files by itself; that long a call's end waits for one."""
LOOK_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What was recorded on one seat."""

    path: str
    starts_ms: int
    """Media time of its first sample."""
    is_ready: bool
    """The file is there."""
    is_truncated: bool
    """Some of it is missing."""


class Seating:
    """Owner of the call's seat."""

    def __init__(self, call_id: str, services: Services, *, media_ms: Callable[[], int]) -> None:
        """``media_ms``: the call's media time now."""
        self.seat: SeatLease | None = None
        """``None`` before the first one, and while the call has lost one and waits for another."""
        self.losses = 0
        self._call_id = call_id
        self._pool = services.pool
        self._profile = services.agent.floor
        self._recording = services.recording
        self._lost: SeatLease | None = None
        self._media_ms = media_ms
        self._parts: list[tuple[str, int]] = []
        """Path and start of each recording."""

    @property
    def view(self) -> dict[str, Any]:
        """For people who watch the call."""
        address = self.seat.address if self.seat is not None else None
        return {
            "worker": address.worker.rpartition("/")[2].removesuffix(".audio") if address is not None else "",
            "row": address.row if address is not None else None,
            "is_recorded": bool(self._parts),
        }

    async def claim(self, record: bool | None) -> SeatLease:
        """The first seat. ``record``: whether to, ``None`` as configured. Raises ``AdmissionRefused``."""
        if self._recording.enabled if record is None else record:
            self._parts.append((f"{self._recording.folder}/{self._call_id}.wav", 0))
        path = self._parts[0][0] if self._parts else ""
        self.seat = await self._pool.open_seat(self._call_id, self._profile, path)
        return self.seat

    def lose(self) -> bool:
        """The worker is dead; true while another seat may be asked for."""
        self._lost, self.seat = self.seat, None
        self.losses += 1
        return self.losses <= MOST_LOSSES

    async def move(self) -> SeatLease:
        """Another seat after ``lose``. Raises ``AdmissionRefused`` and ``TimeoutError``."""
        assert self._lost is not None
        # What the dead worker's recorder has written stays beside it.
        path = f"{self._recording.folder}/{self._call_id}-{self.losses + 1}.wav" if self._parts else ""
        async with asyncio.timeout(RESEAT_S):
            self.seat = await self._pool.reseat(self._lost, self._profile, path)
        if path:
            self._parts.append((path, self._media_ms()))
        return self.seat

    def send(self, message: SeatMessage) -> None:
        """To the seat, where there is one."""
        if self.seat is not None:
            self.seat.send(message)

    async def close(self) -> None:
        """Give the seat back."""
        if self.seat is not None:
            await self.seat.close()

    async def recorded(self) -> Sequence[Recorded]:
        """All parts in order, after ``close``."""
        last, found = self.seat, []
        for at, (path, starts_ms) in enumerate(self._parts, 1):
            if last is not None and at == len(self._parts):
                ready, truncated = last.recording_ready, last.recording_truncated
            else:
                ready, truncated = await _is_written(path), True
            found.append(Recorded(path=path, starts_ms=starts_ms, is_ready=ready, is_truncated=truncated))
        return found


async def _is_written(path: str) -> bool:
    """Whether the file is there, or comes soon."""
    for _ in range(round(WRITTEN_WITHIN_S / LOOK_S)):
        if await asyncio.to_thread(Path(path).is_file):
            return True
        await asyncio.sleep(LOOK_S)
    return False
