"""The REST side of a front, put together: keys, live events, agents and endpoints on top of calls and customer."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from agent.agents import AgentLibrary, Configured
from agent.api.agent_handlers import AgentHandlers
from agent.api.calls import CallHandlers, CallsDeps
from agent.api.gate import Gate
from agent.api.keys import KeyFile
from agent.api.live import LiveHub
from agent.api.local import is_this_machine
from agent.api.server import add_rest
from agent.api.service_handlers import ServiceHandlers
from agent.api.webhook_handlers import WebhookHandlers, WebhooksDeps
from agent.brain.examples import example_path
from agent.brain.protocol import Brain
from agent.config import Config
from agent.customer import CustomerServer
from agent.errors import StoreUnavailable, traced
from agent.events.names import LogEvent
from agent.logging import Log
from agent.metrics import Metrics
from agent.outbound import Door, NumberDoor
from agent.switchboard import Switchboard
from telephony.clock import Clock

Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Rest:
    """Everything of the API that outlives a request. ``add`` binds the routes."""

    def __init__(self, config: Config, *, log: Log, metrics: Metrics, clock: Clock, wall: Callable[[], float]) -> None:
        self._config = config
        self._log = log
        self._metrics = metrics
        self._wall = wall
        self.hub = LiveHub(life=secrets.token_hex(4))
        self.library: AgentLibrary
        self._gate = Gate(
            KeyFile(Path(config.api.folder)),
            host=config.http.host,
            clock=clock,
            wall=wall,
            failed=metrics.auth_failures_total.labels("api").inc,
            limited=metrics.rate_limited_total.labels("api").inc,
        )

    def admit_browser(self, request: web.Request) -> None:
        """Whoever may have a token for a call: this machine, or a key that may place calls. Raises ``Problem``."""
        if not is_this_machine(request):
            self._gate.admit(request, scope="calls:write", operator=False)

    @property
    def auth(self) -> str:
        """``open`` (loopback, no keys yet) or ``keys``."""
        return "open" if self._gate.is_open else "keys"

    def open_library(self, brain: Brain) -> AgentLibrary:
        """The agents, with ``brain`` as the configured one."""
        agent = self._config.agent
        configured = Configured(name=agent.name, brain=brain, kind=agent.brain, text=_text_of(self._config))
        self.library = AgentLibrary(
            Path(self._config.api.folder),
            configured,
            today=dt.date.today,
            disclosure=agent.disclosure,
            told=lambda name, error: self._log.error(LogEvent.AGENT_FAILED, agent=name, error=error),
        )
        self.library.load()
        return self.library

    def add(
        self,
        app: web.Application,
        *,
        customer: CustomerServer,
        switchboard: Switchboard,
        door: Door,
        numbers: NumberDoor | None,
        health: Callable[[], dict[str, Any]],
        spawn: Spawn,
        preload: Callable[[list[str]], Coroutine[Any, Any, None]],
    ) -> None:
        """Bind ``/v1``. ``spawn`` owns what outlives a request; ``preload`` renders phrases ahead of time."""
        library = self.library

        def published(name: str, version: int, phrases: Sequence[str]) -> None:
            self._log.info(LogEvent.AGENT_PUBLISHED, agent=name, version=version)
            spawn(preload(list(phrases)))

        calls = CallsDeps(
            store=customer.store,
            outbox=customer.outbox,
            switchboard=switchboard,
            door=door,
            numbers=numbers,
            outbound=self._config.outbound,
            recordings=Path(self._config.recording.folder),
            has_agent=lambda name: library.brain_of(name) is not None,
            spawn=spawn,
        )
        webhooks = WebhooksDeps(
            book=customer.endpoints,
            deliverer=customer.deliverer,
            use=customer.use_endpoints,
            guard=customer.guard,
            store=customer.store,
            wall=self._wall,
        )
        add_rest(
            app,
            gate=self._gate,
            calls=CallHandlers(calls),
            agents=AgentHandlers(library, wall=self._wall, published=published),
            webhooks=WebhookHandlers(webhooks),
            service=ServiceHandlers(self.hub, health=lambda: self._summary(health(), customer)),
            counted=self._counted,
            on_bug=self._bug,
        )

    def _bug(self, operation: str, error: BaseException) -> None:
        found = traced(error)  # without its message: it may hold what was asked
        self._log.error(LogEvent.API_FAILED, operation=operation, error=found[0], trace=found[1:])

    async def _summary(self, health: dict[str, Any], customer: CustomerServer) -> dict[str, Any]:
        backlog = None
        with contextlib.suppress(StoreUnavailable):
            backlog = await customer.outbox.backlog()
        return {
            **health,
            "store": {"is_away": customer.store.is_away, "backlog_bytes": customer.store.backlog_bytes},
            "webhooks": {"backlog": backlog, "disabled": customer.deliverer.disabled},
            "api": {"auth": self.auth},
        }

    def _counted(self, operation: str, status: int) -> None:
        self._metrics.api_requests_total.labels(operation, str(status)).inc()
        self._metrics.api_watchers.set(self.hub.watchers)


def _text_of(config: Config) -> str:
    """The YAML of the configured agent, where it is one."""
    if config.agent.brain != "flow":
        return ""
    path = Path(config.agent.dialogue) if config.agent.dialogue else example_path("parcel") / "parcel.yaml"
    return path.read_text(encoding="utf-8")
