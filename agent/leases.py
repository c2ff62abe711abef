"""Ownership of the live calls in the store: leases renewed, calls of dead gateways booked, lost calls let go.

What a former life of this gateway left behind is booked when the store opens (agent/store/resilient.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.config import Config
from agent.errors import StoreUnavailable
from agent.events.names import LogEvent, WebhookEvent
from agent.logging import Log
from agent.store.interface import Store
from agent.switchboard import Switchboard
from telephony.clock import Clock

RENEWALS_PER_LEASE = 3
REAP_EVERY_S = 5.0
REAP_GRACE_S = 20.0


class Leases:
    """The gateway's claim on its calls."""

    def __init__(
        self,
        store: Store,
        switchboard: Switchboard,
        config: Config,
        *,
        log: Log,
        wall: Callable[[], float],
        clock: Clock,
    ) -> None:
        self._store = store
        self._switchboard = switchboard
        self._owner = config.service.gateway
        self._lease_s = config.store.lease_s
        self._log = log
        self._wall = wall
        self._clock = clock

    async def run(self) -> None:
        """Renew and reap until cancelled."""
        next_reap = self._clock.now() + REAP_EVERY_S
        while True:
            await asyncio.sleep(self._lease_s / RENEWALS_PER_LEASE)
            try:
                await self._renew()
                if self._clock.now() >= next_reap:
                    next_reap = self._clock.now() + REAP_EVERY_S
                    await self._reap()
            except StoreUnavailable:
                continue

    async def _renew(self) -> None:
        calls = [claim for session in self._switchboard.live if (claim := session.claim) is not None]
        if not calls:
            return
        lost = await self._store.renew_leases(self._owner, calls, lease_s=self._lease_s, now=self._wall())
        for call_id in lost:
            self._switchboard.lost(call_id)

    async def _reap(self) -> None:
        ended = await self._store.reap(
            now=self._wall(),
            grace_s=REAP_GRACE_S,
            event_name=WebhookEvent.CALL_ENDED.value,
            skip_owners=(self._owner,),
        )
        for call_id in ended:
            self._log.warning(LogEvent.CALL_REAPED, call_id=call_id)
