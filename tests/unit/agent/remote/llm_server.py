"""A chat endpoint on loopback that does what the test says: fast, slow, dying, babbling, broken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Behaviour = Callable[["Reply"], Awaitable[None]]


class Reply:
    """One response under way."""

    def __init__(self, request: web.Request, body: dict[str, Any]) -> None:
        self.request = request
        self.body = body
        self.response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})

    async def raw(self, data: bytes) -> None:
        if not self.response.prepared:
            await self.response.prepare(self.request)
        await self.response.write(data)

    async def event(self, document: object) -> None:
        await self.raw(
            b"data: " + (document if isinstance(document, bytes) else json.dumps(document).encode()) + b"\n\n"
        )

    async def delta(self, **delta: Any) -> None:
        await self.event({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]})

    async def text(self, *tokens: str) -> None:
        for token in tokens:
            await self.delta(content=token)

    async def done(self, reason: str = "stop") -> None:
        await self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        await self.event(b"[DONE]")

    async def die(self) -> None:
        assert self.request.transport is not None
        self.request.transport.abort()


def saying(text: str) -> Behaviour:
    """Says a text, token by token."""

    async def behave(reply: Reply) -> None:
        await reply.text(*(word + " " for word in text.split()))
        await reply.done()

    return behave


def asking(name: str, arguments: str, call_id: str = "c1", text: str = "") -> Behaviour:
    """Asks a tool; its arguments come three characters at a time."""

    async def behave(reply: Reply) -> None:
        if text:
            await reply.text(text)
        await reply.delta(tool_calls=[{"index": 0, "id": call_id, "type": "function", "function": {"name": name}}])
        for at in range(0, len(arguments), 3):
            await reply.delta(tool_calls=[{"index": 0, "function": {"arguments": arguments[at : at + 3]}}])
        await reply.done("tool_calls")

    return behave


async def never(reply: Reply) -> None:
    """Takes the request and says nothing."""
    await reply.raw(b": thinking\n\n")
    await asyncio.sleep(60)


class LlmServer:
    """Behaves by the list, one for each request; the last one goes on."""

    def __init__(self, behaviours: Sequence[Behaviour]) -> None:
        self.behaviours = list(behaviours)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.hung_up = 0
        """Requests whose client went away before they were done."""
        self.url = ""

    @property
    def histories(self) -> list[list[dict[str, Any]]]:
        """Messages of each request, without the system prompt."""
        return [request["messages"][1:] for request in self.requests]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        behave = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        reply = Reply(request, body)
        try:
            await behave(reply)
        except (ConnectionError, asyncio.CancelledError):
            self.hung_up += 1
            raise
        return reply.response


@asynccontextmanager
async def llm_server(*behaviours: Behaviour, port: int = 0) -> AsyncIterator[LlmServer]:
    server = LlmServer(behaviours)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
