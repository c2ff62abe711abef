"""Handlers of the service as a whole: live events, workers, health, who asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from agent.api.bind import Answer, Ask, Handler
from agent.api.live import LiveHub, Watcher
from agent.api.problems import Problem

KEEP_ALIVE_S: Final = 15.0
"""A comment that often, so that proxies keep the stream and a client that is gone is noticed."""
WRITE_S: Final = 30.0
"""A client that takes nothing for so long is let go."""

Summary = Callable[[], Awaitable[dict[str, Any]]]


class ServiceHandlers:
    """One method per route of ``routes.SERVICE``."""

    def __init__(self, hub: LiveHub, *, health: Summary, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        self._hub = hub
        self._health = health
        self._keep_alive_s = keep_alive_s

    def table(self) -> dict[str, Handler]:
        return {
            "watchEvents": self.watch,
            "listWorkers": self.workers,
            "getHealth": self.health,
            "whoami": self.whoami,
        }

    async def health(self, ask: Ask) -> Answer:
        return Answer(value={**await self._health(), "watchers": self._hub.watchers})

    async def workers(self, ask: Ask) -> Answer:
        return Answer(value={"workers": (await self._health())["workers"]})

    async def whoami(self, ask: Ask) -> Answer:
        who = ask.principal
        return Answer(value={"name": who.name, "tenant": who.tenant, "scopes": sorted(who.scopes)})

    async def watch(self, ask: Ask) -> web.StreamResponse:
        kinds = frozenset(kind for kind in (ask.params["kinds"] or "").split(",") if kind)
        watcher = Watcher(tenant=ask.principal.tenant, call_id=ask.params["call_id"] or "", kinds=kinds)
        if not self._hub.join(watcher, last_event_id=ask.params["Last-Event-ID"] or ""):
            raise Problem(429, "there are too many streams", headers={"Retry-After": "5"})
        try:
            response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
            response.content_type = "text/event-stream"
            await response.prepare(ask.request)
            with contextlib.suppress(ConnectionError, TimeoutError):  # whoever does not read any more is gone
                await self._feed(watcher, response)
        finally:
            self._hub.leave(watcher)
        return response

    async def _feed(self, watcher: Watcher, response: web.StreamResponse) -> None:
        await response.write(b"retry: 1000\n\n")
        while not self._hub.is_closed:
            for line in self._hub.lines(watcher):
                async with asyncio.timeout(WRITE_S):
                    await response.write(line)
            try:
                async with asyncio.timeout(self._keep_alive_s):
                    await watcher.changed.wait()
            except TimeoutError:
                async with asyncio.timeout(WRITE_S):
                    await response.write(b": still here\n\n")
