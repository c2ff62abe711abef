"""The process of a Pipecat brain: an endpoint of chat completions on a local socket, answered by pipelines.

To the front it is an endpoint like any other (``agent.remote``): streamed deltas, tool calls, hang up to cancel. Each
call has pipelines of its own; one answers one request at a time, a second is made while the first is still wanted.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import Frame, LLMContextFrame, LLMFullResponseEndFrame, LLMTextFrame
from pipecat.processors.aggregators.llm_context import LLMContext

from agent.pipecat.build import PartRefused, make_service
from agent.pipecat.pipeline import CallPipeline, PartFailed
from agent.pipecat.spec import PartSpec
from agent.tasks import Tasks

MOST_PIPELINES: Final = 3
"""Of one call: an answer that is spoken, one that is prepared, one that is being given up."""
MOST_ITEMS: Final = 4096
MOST_BODY: Final = 4 << 20
Item = tuple[str, Any]
"""``text`` and a piece, ``tools`` and calls, ``failed`` and a reason, ``end`` and nothing."""


@dataclass
class _ToolsAsked(Frame):  # type: ignore[misc]  # Pipecat is not type-checked here
    """Tool calls on their way down, behind the text that came before them."""

    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)


class _Answerer:
    """One pipeline of a call."""

    def __init__(self, spec: PartSpec, tasks: Tasks) -> None:
        self.items: asyncio.Queue[Item] | None = None
        self.is_broken = False
        self.pipeline = CallPipeline(spec, tasks, told=self._arrived, failed=lambda why: self._put(("failed", why)))
        self.pipeline.service.run_function_calls = self._asked  # the session asks the tools, not Pipecat

    @property
    def is_free(self) -> bool:
        return self.items is None and not self.is_broken and not self.pipeline.is_over

    async def begin(self, context: LLMContext) -> asyncio.Queue[Item]:
        """Ask. Raises ``PartFailed``."""
        items = self.items = asyncio.Queue(MOST_ITEMS)
        await self.pipeline.started()
        await self.pipeline.push(LLMContextFrame(context))
        return items

    async def leave(self, *, is_done: bool) -> None:
        """Whoever asked has gone; ``is_done``: with the whole answer."""
        self.is_broken = self.is_broken or (not is_done and not await self.pipeline.interrupt())
        self.items = None

    def give_up(self, why: str) -> None:
        self._put(("failed", why))

    def _put(self, item: Item) -> None:
        if item[0] == "failed":
            self.is_broken = True
        if self.items is not None and not self.items.full():
            self.items.put_nowait(item)

    def _arrived(self, frame: Frame) -> None:
        if isinstance(frame, LLMTextFrame):
            self._put(("text", frame.text))
        elif isinstance(frame, _ToolsAsked):
            self._put(("tools", frame.calls))
        elif isinstance(frame, LLMFullResponseEndFrame):
            self._put(("end", None))

    async def _asked(self, calls: Sequence[Any]) -> None:
        found = [(call.tool_call_id, call.function_name, dict(call.arguments)) for call in calls]
        await self.pipeline.service.push_frame(_ToolsAsked(found))


class BrainHost:
    """All calls of one process."""

    def __init__(self, spec: PartSpec, tasks: Tasks) -> None:
        self._spec = spec
        self._tasks = tasks
        self._calls: dict[str, list[_Answerer]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/calls/{call}/chat/completions", self.answer),
            web.put("/calls/{call}", self.open),
            web.delete("/calls/{call}", self.close),
        ]

    async def open(self, request: web.Request) -> web.Response:
        """A call begins: its first pipeline starts before it is asked."""
        try:
            self._free(request.match_info["call"]).pipeline.open()
        except PartRefused as refused:
            return web.Response(status=502, text=str(refused))
        return web.Response(status=204)

    async def close(self, request: web.Request) -> web.Response:
        for answerer in self._calls.pop(request.match_info["call"], ()):
            self._tasks.start(answerer.pipeline.close())
        return web.Response(status=204)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        try:
            answerer = self._free(request.match_info["call"])
        except PartRefused as refused:
            return web.Response(status=502, text=str(refused))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        is_done = False
        try:
            items = await answerer.begin(_context(body))
            await response.prepare(request)
            while True:
                kind, value = await items.get()
                await response.write(_event(_chunk(kind, value)))
                if kind in ("end", "failed"):
                    is_done = kind == "end"
                    break
            await response.write(b"data: [DONE]\n\n")
        except PartFailed as failed:
            answerer.is_broken = True
            return web.Response(status=502, text=str(failed))
        finally:
            await self._leave(request.match_info["call"], answerer, is_done=is_done)
        return response

    async def _leave(self, call: str, answerer: _Answerer, *, is_done: bool) -> None:
        await answerer.leave(is_done=is_done)
        if answerer.is_broken:
            if answerer in self._calls.get(call, ()):
                self._calls[call].remove(answerer)
            self._tasks.start(answerer.pipeline.close())

    def _free(self, call: str) -> _Answerer:
        """A pipeline of the call that answers nobody. Raises ``PartRefused``."""
        known = self._calls.setdefault(call, [])
        for answerer in known:
            if answerer.is_free:
                return answerer
        if len(known) >= MOST_PIPELINES:
            oldest = known.pop(0)
            oldest.give_up("too many answers at once")
            self._tasks.start(oldest.pipeline.close())
        answerer = _Answerer(self._spec, self._tasks)
        known.append(answerer)
        return answerer


def _context(body: dict[str, Any]) -> LLMContext:
    tools = [_function(tool["function"]) for tool in body.get("tools", ())]
    messages = body["messages"]
    return LLMContext(messages, ToolsSchema(standard_tools=tools)) if tools else LLMContext(messages)


def _function(spec: dict[str, Any]) -> FunctionSchema:
    parameters = spec.get("parameters", {})
    return FunctionSchema(
        name=spec["name"],
        description=spec.get("description", ""),
        properties=parameters.get("properties", {}),
        required=parameters.get("required", []),
    )


def _chunk(kind: str, value: Any) -> dict[str, Any]:
    if kind == "failed":
        return {"error": {"message": value}}
    if kind == "text":
        return _choice({"content": value}, None)
    if kind == "tools":
        calls = [
            {"index": at, "id": call_id, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
            for at, (call_id, name, given) in enumerate(value)
        ]
        return _choice({"tool_calls": calls}, None)
    return _choice({}, "stop")


def _choice(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


async def serve_brain(spec: PartSpec, link: socket.socket, path: str) -> None:
    """Listen on ``path``, say so on ``link``, and serve until the owner closes it."""
    reader, writer = await asyncio.open_connection(sock=link)
    try:
        make_service(spec)
    except PartRefused as refused:
        writer.write(json.dumps({"refused": str(refused)}).encode() + b"\n")
        await writer.drain()
        return
    async with Tasks() as tasks:
        app = web.Application(client_max_size=MOST_BODY)
        app.add_routes(BrainHost(spec, tasks).routes())
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        os.umask(0o077)
        await web.UnixSite(runner, path).start()
        writer.write(b"{}\n")
        await reader.read()
        await runner.cleanup()
