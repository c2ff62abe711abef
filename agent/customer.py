"""The customer's side of the service: the store with its outbox, events going out, questions asked."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from agent.config import Config
from agent.events.decisions import DecisionClient
from agent.events.endpoints import EndpointBook
from agent.events.http import HttpClient
from agent.events.retry import Verdict
from agent.events.signing import Signer
from agent.events.ssrf import Guard
from agent.events.webhooks import WebhookDeliverer
from agent.logging import Log
from agent.metrics import Metrics, code_class
from agent.store.open import open_store
from agent.store.resilient import ResilientStore
from agent.tasks import Tasks
from telephony.clock import Clock

LAST_WORDS_S = 2.0
"""How long a stopping service goes on delivering, so that the last ``call.ended`` does not wait for the next start."""

ROTATION_LOOK_S = 10.0


class CustomerServer:
    """Opens the store, delivers what its outbox holds, and asks ``call.incoming`` and ``tool.call``."""

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
        self.decisions: DecisionClient
        self.endpoints = EndpointBook(Path(config.api.folder), config.webhooks.endpoints)
        self.guard = Guard(allow_http=config.webhooks.allow_http, networks=config.webhooks.allow_networks)
        self.deliverer: WebhookDeliverer

    @contextlib.asynccontextmanager
    async def opened(self, tasks: Tasks) -> AsyncIterator[ResilientStore]:
        """The store is open and deliveries run inside the block."""
        config = self._config
        self.store, self.outbox = open_store(
            config.store.url,
            spill=config.store.spill,
            owner=config.service.gateway,
            endpoints={endpoint.name: endpoint.events for endpoint in self.endpoints.effective(self._wall())},
            wall=self._wall,
            clock=self._clock,
            log=self._log,
        )
        await self.store.open()
        async with HttpClient(self.guard) as http:
            self.decisions = self._new_decisions(http)
            deliverer = self.deliverer = self._new_deliverer(http)
            self.store.tell_of_events(deliverer.poke)
            tasks.start(deliverer.run())
            tasks.start(self._end_rotations())
            try:
                yield self.store
            finally:
                await deliverer.flush(timeout_s=LAST_WORDS_S)
                await self.store.close()

    def _new_decisions(self, http: HttpClient) -> DecisionClient:
        agent = self._config.agent
        return DecisionClient(
            http,
            signer=Signer(self._config.webhooks.secret.split()),
            wall=self._wall,
            clock=self._clock,
            log=self._log,
            decision_url=agent.decision_url,
            tool_url=agent.tool_url,
            fallback=agent.on_decision_failure,
            decision_budget_s=agent.decision_budget_s,
            tool_budget_s=agent.tool_budget_s,
        )

    def _new_deliverer(self, http: HttpClient) -> WebhookDeliverer:
        return WebhookDeliverer(
            self.outbox,
            self.endpoints.effective(self._wall()),
            http=http,
            worker=self._config.service.gateway,
            wall=self._wall,
            clock=self._clock,
            rng=self._rng,
            log=self._log,
            watch=self._attempted,
        )

    async def use_endpoints(self) -> None:
        """Deliver to the endpoints that there are now."""
        await self.deliverer.use(self.endpoints.effective(self._wall()))

    async def _end_rotations(self) -> None:
        """Old secrets stop signing when their time is over."""
        while True:
            before = self._wall()
            await asyncio.sleep(ROTATION_LOOK_S)
            change = self.endpoints.next_change(before)
            if change is not None and change <= self._wall():
                await self.use_endpoints()

    def _attempted(self, endpoint: str, verdict: Verdict, status: int | None, took_s: float) -> None:
        self._metrics.webhook_attempts_total.labels(verdict.name.lower(), code_class(status)).inc()
        if verdict is Verdict.DEAD:
            self._metrics.webhook_dead_total.inc()
