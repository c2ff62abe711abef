"""Seats for calls: the registry of workers behind the session's ``Pool``."""

from __future__ import annotations

import asyncio

from agent.errors import AdmissionRefused
from agent.model.protocol import Persona
from agent.pool.client import SeatHandle
from agent.pool.registry import WorkerRegistry
from agent.ports import SeatLease
from agent.scheduler.floor.profile import FloorProfile

RETRY_S = 0.05


class Placement:
    """Opens seats, and other seats for calls whose worker has died."""

    def __init__(self, registry: WorkerRegistry, *, persona: Persona, transfer_targets: tuple[str, ...]) -> None:
        self._registry = registry
        self._persona = persona
        self.transfer_targets = transfer_targets

    async def open_seat(self, call_id: str, profile: FloorProfile, record: str) -> SeatHandle:
        """Raises ``AdmissionRefused``."""
        return await self._registry.open_seat(call_id, profile=profile, persona=self._persona, record=record)

    async def reseat(self, lost: SeatLease, profile: FloorProfile, record: str) -> SeatHandle:
        """Another seat as soon as a worker has room; the caller bounds the wait."""
        assert isinstance(lost, SeatHandle)
        while True:
            try:
                return await self._registry.reseat(lost, profile=profile, persona=self._persona, record=record)
            except AdmissionRefused:
                await asyncio.sleep(RETRY_S)
