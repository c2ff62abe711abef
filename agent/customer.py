"""The customer's side of the service: the store with its outbox, webhooks going out, questions asked."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

from agent.config import Config
from agent.errors import ToolFailed
from agent.logging import Log
from agent.metrics import Metrics
from agent.ports import Decision
from agent.store.open import open_store
from agent.store.resilient import ResilientStore
from agent.tasks import Tasks
from telephony.clock import Clock
from telephony.events import LegInfo


class CustomerServer:
    """Asks ``call.incoming`` and ``tool.call``, and delivers what the outbox holds."""

    def __init__(
        self,
        config: Config,
        *,
        log: Log,
        metrics: Metrics,
        clock: Clock,
        wall: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._config = config
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._rng = rng
        self.store: ResilientStore
        self.outbox: ResilientStore

    @contextlib.asynccontextmanager
    async def opened(self, tasks: Tasks) -> AsyncIterator[ResilientStore]:
        """The store is open inside the block."""
        config = self._config
        self.store, self.outbox = open_store(
            config.store.url,
            spill=config.store.spill,
            owner=config.service.gateway,
            endpoints={endpoint.name: endpoint.events for endpoint in config.webhooks.endpoints},
            wall=self._wall,
            clock=self._clock,
            log=self._log,
        )
        await self.store.open()
        try:
            yield self.store
        finally:
            await self.store.close()

    async def incoming(self, call_id: str, leg: LegInfo) -> Decision:
        return Decision()

    async def tool(self, call_id: str, name: str, arguments: dict[str, Any], request_id: str) -> Any:
        raise ToolFailed("no tool_url is configured")
