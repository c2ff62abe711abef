"""Handlers of webhook endpoints: add, test, replay, rotate, remove."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from agent.api.bind import Answer, Ask, Handler
from agent.api.problems import Problem
from agent.events.bodies import body, event_body
from agent.events.endpoints import EndpointBook, EndpointRefused, EndpointUnknown, Listed
from agent.events.names import WebhookEvent
from agent.events.ssrf import Guard, UrlRefused
from agent.events.webhooks import WebhookDeliverer
from agent.store.interface import Store

MOST_REPLAYED: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhooksDeps:
    book: EndpointBook
    deliverer: WebhookDeliverer
    use: Callable[[], Awaitable[None]]
    """Deliver to what the book lists now."""
    guard: Guard
    store: Store
    wall: Callable[[], float]


class WebhookHandlers:
    """One method per route of ``routes.WEBHOOKS``."""

    def __init__(self, deps: WebhooksDeps) -> None:
        self._deps = deps
        self._changing = asyncio.Lock()

    def table(self) -> dict[str, Handler]:
        return {
            "listWebhooks": self.listed,
            "createWebhook": self.create,
            "deleteWebhook": self.delete,
            "testWebhook": self.test,
            "replayWebhook": self.replay,
            "rotateWebhook": self.rotate,
        }

    async def listed(self, ask: Ask) -> Answer:
        found = self._deps.book.listed(self._deps.wall())
        return Answer(value={"endpoints": [self._shown(one) for one in found]})

    async def create(self, ask: Ask) -> Answer:
        deps, name, url = self._deps, ask.body["name"], ask.body["url"]
        try:
            deps.guard.check_url(url)
        except UrlRefused as error:
            raise Problem(422, f"url: {error}") from None
        async with self._changing:
            try:
                events = ask.body.get("events", ["*"])
                secret = await asyncio.to_thread(deps.book.create, name, url, events, now=deps.wall())
            except EndpointRefused as error:
                raise Problem(409, str(error)) from None
            await deps.use()
        return Answer(value=self._with_secret(name, secret), status=201)

    async def rotate(self, ask: Ask) -> Answer:
        deps, name = self._deps, ask.params["name"]
        async with self._changing:
            overlap_s = ask.body.get("overlap_s", 86_400)
            secret = await self._changed(lambda: deps.book.rotate(name, overlap_s=overlap_s, now=deps.wall()))
            await deps.use()
        return Answer(value=self._with_secret(name, secret))

    async def delete(self, ask: Ask) -> Answer:
        deps, name = self._deps, ask.params["name"]
        async with self._changing:
            await self._changed(lambda: deps.book.delete(name))
            await deps.use()
            await deps.deliverer.bury(name)
        return Answer(value=None, status=204)

    async def test(self, ask: Ask) -> Answer:
        self._find(ask.params["name"])
        data = {"message": "a test; nothing has happened"}
        text = body(WebhookEvent.TEST_PING, self._deps.wall(), data)
        attempt = await self._deps.deliverer.try_once(ask.params["name"], f"test_{uuid.uuid4().hex}", text)
        if attempt is None:
            raise Problem(404, "there is no such endpoint any more")
        return Answer(value=attempt)

    async def replay(self, ask: Ask) -> Answer:
        self._find(ask.params["name"])
        call_id, seq = ask.body["call_id"], ask.body.get("seq")
        events = [event for event in await self._deps.store.events_of(call_id) if seq in (None, event.seq)]
        if not events:
            raise Problem(404, f"there is no such event of call {call_id}")
        attempts: list[dict[str, Any]] = []
        for event in events[:MOST_REPLAYED]:
            attempt = await self._deps.deliverer.try_once(ask.params["name"], event.event_id, event_body(event))
            if attempt is None:
                break
            attempts.append({"event_id": event.event_id, "name": event.name, **attempt})
            if attempt["error"]:
                break
        return Answer(value={"attempts": attempts})

    def _find(self, name: str) -> Listed:
        try:
            return self._deps.book.find(name, self._deps.wall())
        except EndpointUnknown as error:
            raise Problem(404, str(error)) from None

    async def _changed(self, work: Callable[[], Any]) -> Any:
        try:
            return await asyncio.to_thread(work)
        except EndpointUnknown as error:
            raise Problem(404, str(error)) from None
        except EndpointRefused as error:
            raise Problem(409, str(error)) from None

    def _with_secret(self, name: str, secret: str) -> dict[str, Any]:
        return {"endpoint": self._shown(self._find(name)), "secret": secret}

    def _shown(self, one: Listed) -> dict[str, Any]:
        return {
            "name": one.endpoint.name,
            "url": one.endpoint.url,
            "events": list(one.endpoint.events),
            "source": one.source,
            "created_at": one.created_at,
            "is_disabled": one.endpoint.name in self._deps.deliverer.disabled,
            "rotates_until": one.rotates_until,
        }
