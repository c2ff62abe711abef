"""Seats for calls: the registry of workers behind the session's ``Pool``."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import replace

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
        persona = self._persona_of(call_id)
        return await self._registry.open_seat(call_id, profile=profile, persona=persona, record=record)

    async def reseat(self, lost: SeatLease, profile: FloorProfile, record: str) -> SeatHandle:
        """Another seat as soon as a worker has room; the caller bounds the wait."""
        assert isinstance(lost, SeatHandle)
        persona = self._persona_of(lost.call_id).in_call(lost.heard)
        while True:
            try:
                seat = await self._registry.reseat(lost, profile=profile, persona=persona, record=record)
                seat.heard.extendleft(reversed(lost.heard))
                return seat
            except AdmissionRefused:
                await asyncio.sleep(RETRY_S)

    def _persona_of(self, call_id: str) -> Persona:
        """Each call draws its own tokens, and the same ones on another worker."""
        if self._persona.seed >= 0:
            return self._persona
        return replace(self._persona, seed=zlib.crc32(call_id.encode()) & 0x7FFFFFFF)
