"""Tools of MCP servers over real HTTP and of real programs: working, failing, forgetting, dying, babbling."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from agent.config import McpServer
from agent.errors import ToolFailed
from agent.mcp.messages import McpError, read_tools, result_of, value_of
from agent.mcp.tools import McpDecisions, McpTools
from tests.unit.agent.call_fakes import FakeDecisions
from tests.unit.agent.remote.test_chat import Log, until

PROGRAM = Path(__file__).parent / "mcp_program.py"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "CROSSTALK_WEBHOOKS__SECRET": "ours"}
READ_ONLY = {"readOnlyHint": True}


class HttpServer:
    """Streamable HTTP with sessions; the test picks how it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.tools: list[Any] = [
            {
                "name": "track",
                "description": "Where it is.",
                "inputSchema": {"type": "object"},
                "annotations": READ_ONLY,
            },
            {"name": "parcel.book", "inputSchema": {"type": "object"}},
            {"name": "secret", "inputSchema": {"type": "object"}},
        ]
        self.sessions = 0
        self.methods: list[str] = []
        self.calls: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.as_events = False
        self.changes = False
        self.mode = ""
        self.result: dict[str, Any] = {"content": [{"type": "text", "text": "Berlin"}]}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE":
            self.methods.append("DELETE")
            return web.Response()
        message = await request.json()
        self.methods.append(message["method"])
        self.headers.append(dict(request.headers))
        if "id" not in message:
            return web.Response(status=202)
        if message["method"] == "initialize":
            self.sessions += 1
            body = {"result": {"protocolVersion": "2025-06-18", "capabilities": {}}}
            return web.json_response({"id": message["id"], **body}, headers={"Mcp-Session-Id": f"s{self.sessions}"})
        if request.headers.get("Mcp-Session-Id") != f"s{self.sessions}":
            return web.Response(status=404)
        if message["method"] == "tools/list":
            return self._page(message)
        return await self._call(request, message)

    def _page(self, message: dict[str, Any]) -> web.Response:
        at = int(message.get("params", {}).get("cursor", 0))
        result: dict[str, Any] = {"tools": self.tools[at : at + 2]}
        if at + 2 < len(self.tools):
            result["nextCursor"] = str(at + 2)
        return web.json_response({"id": message["id"], "result": result})

    async def _call(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        self.calls.append(message["params"])
        mode, self.mode = self.mode, ""
        if mode == "forget":
            self.sessions += 1
            return web.Response(status=404)
        if mode == "drop":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if mode == "hang":
            await asyncio.sleep(30)
        if mode == "broken":
            return web.Response(text="<html>", content_type="application/json")
        if mode == "huge":
            return web.Response(text="x" * 2_000_000, content_type="application/json")
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": self.result}
        if not self.as_events:
            return web.json_response(answer)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        change = {"method": "notifications/tools/list_changed" if self.changes else "notifications/progress"}
        await response.write(f"data: {json.dumps(change)}\n\ndata: {json.dumps(answer)}\n\n".encode())
        return response


@asynccontextmanager
async def http_server() -> AsyncIterator[HttpServer]:
    server = HttpServer()
    app = web.Application()
    app.router.add_route("*", "/mcp", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
    try:
        yield server
    finally:
        await runner.cleanup()


class Rig:
    def __init__(self, tools: McpTools, log: Log, own: frozenset[str]) -> None:
        self.tools, self.log = tools, log
        self.others = FakeDecisions()
        self.decisions = McpDecisions(self.others, tools, own=own, budget_s=1.0)

    async def ask(self, name: str, **arguments: Any) -> Any:
        return await self.decisions.tool("call1", name, arguments, "t1")

    def names(self) -> list[str]:
        return [spec.name for spec in self.tools.specs()]


@asynccontextmanager
async def rig(*servers: McpServer, own: tuple[str, ...] = (), first_list_s: float = 3.0) -> AsyncIterator[Rig]:
    log = Log()
    async with McpTools(servers, environment=ENVIRONMENT, log=cast(Any, log), first_list_s=first_list_s) as tools:
        yield Rig(tools, log, frozenset(own))


def remote(server: HttpServer, *tools: str, **more: Any) -> McpServer:
    return McpServer(name="remote", url=server.url, tools=tools or ("track", "parcel.book"), **more)


def program(**more: Any) -> McpServer:
    return McpServer(name="program", command=(sys.executable, str(PROGRAM)), tools=("*",), **more)


async def test_listed_tools_are_those_allowed_under_names_that_a_model_may_use() -> None:
    async with http_server() as server, rig(remote(server, headers=("Authorization: Bearer x",))) as r:
        assert r.names() == ["track", "parcel_book"]
        assert server.headers[0]["Authorization"] == "Bearer x"
        assert server.headers[-1]["MCP-Protocol-Version"] == "2025-06-18"
        assert server.methods[:3] == ["initialize", "notifications/initialized", "tools/list"]
    assert server.methods[-1] == "DELETE"


@pytest.mark.parametrize("as_events", [False, True])
async def test_call_goes_to_the_server_with_its_own_name_and_a_key(as_events: bool) -> None:
    async with http_server() as server, rig(remote(server)) as r:
        server.as_events = as_events
        assert await r.ask("parcel_book", number="1") == "Berlin"
        assert server.calls[0]["name"] == "parcel.book"
        assert list(server.calls[0]["_meta"].values()) == ["call1:t1"]
        assert server.headers[-1]["Idempotency-Key"] == "call1:t1"
        assert r.others.tools == []


async def test_other_tools_and_those_of_the_webhook_are_asked_as_before() -> None:
    async with http_server() as server, rig(remote(server), own=("track",)) as r:
        await r.ask("track")
        await r.ask("secret")
        assert [name for name, _, _ in r.others.tools] == ["track", "secret"]
        assert server.calls == []


async def test_error_of_a_tool_reaches_the_brain_as_text() -> None:
    async with http_server() as server, rig(remote(server)) as r:
        server.result = {"content": [{"type": "text", "text": "no such parcel"}], "isError": True}
        with pytest.raises(ToolFailed, match="track: no such parcel"):
            await r.ask("track")


async def test_forgotten_session_is_opened_again_and_the_call_made_once_more() -> None:
    async with http_server() as server, rig(remote(server)) as r:
        server.mode = "forget"
        assert await r.ask("parcel_book") == "Berlin"
        assert server.methods.count("initialize") == 2


async def test_lost_connection_is_tried_again_only_where_that_does_no_harm() -> None:
    async with http_server() as server, rig(remote(server)) as r:
        server.mode = "drop"
        assert await r.ask("track") == "Berlin"
        server.mode = "drop"
        with pytest.raises(ToolFailed, match="connection failed"):
            await r.ask("parcel_book")
        assert len(server.calls) == 3


@pytest.mark.parametrize(("mode", "why"), [("hang", "no answer within"), ("broken", "JSON"), ("huge", "more than")])
async def test_bad_answer_is_a_failure_of_this_call_only(mode: str, why: str) -> None:
    async with http_server() as server, rig(remote(server)) as r:
        server.mode = mode
        with pytest.raises(ToolFailed, match=why):
            await r.ask("track")
        assert await r.ask("track") == "Berlin"


async def test_list_is_read_again_when_the_server_says_so() -> None:
    async with http_server() as server, rig(remote(server, "*")) as r:
        server.tools.append({"name": "new", "inputSchema": {"type": "object"}})
        server.as_events = server.changes = True
        await r.ask("track")
        await until(lambda: "new" in r.names())


async def test_list_outlives_its_server_and_a_call_then_fails_in_time() -> None:
    async with AsyncExitStack() as stack:
        gone = AsyncExitStack()
        server = await gone.enter_async_context(http_server())
        r = await stack.enter_async_context(rig(remote(server)))
        await gone.aclose()
        assert r.names() == ["track", "parcel_book"]
        with pytest.raises(ToolFailed, match="connection failed"):
            await r.ask("track")


async def test_server_that_is_not_there_keeps_nobody_waiting_long() -> None:
    started = asyncio.get_running_loop().time()
    async with rig(McpServer(name="gone", url="http://127.0.0.1:9/mcp", tools=("*",)), first_list_s=0.3) as r:
        assert r.names() == []
        await r.ask("track")
        assert r.others.tools
        assert "connection failed" in r.log.lines[0]
    assert asyncio.get_running_loop().time() - started < 2


async def test_program_is_asked_by_its_standard_streams_and_gets_none_of_our_secrets() -> None:
    async with rig(program(environment=("TOKEN=theirs",))) as r:
        assert r.names() == ["echo", "fail", "die", "environment"]
        told = await r.ask("echo", number="1")
        assert told["arguments"] == {"number": "1"}
        assert list(told["meta"].values()) == ["call1:t1"]
        names = (await r.ask("environment")).split()
        assert "TOKEN" in names
        assert not [name for name in names if "CROSSTALK" in name]
        with pytest.raises(ToolFailed, match="no such parcel"):
            await r.ask("fail")


async def test_program_that_dies_is_started_again() -> None:
    async with rig(program()) as r:
        with pytest.raises(ToolFailed, match="the program ended"):
            await r.ask("die")
        assert (await r.ask("echo"))["arguments"] == {}


async def test_program_that_is_not_there_is_logged() -> None:
    async with rig(McpServer(name="none", command=("/nonexistent/program",), tools=("*",)), first_list_s=0.3) as r:
        assert r.names() == []
        assert "none" in r.log.lines[0]


@pytest.mark.parametrize("result", [{"tools": 5}, {"tools": [None, {}, {"name": ""}]}, {}])
def test_odd_list_gives_no_tools(result: dict[str, Any]) -> None:
    assert read_tools(result, ("*",)) == []


def test_falsy_value_is_a_value() -> None:
    assert value_of({"structuredContent": 0}) == 0
    assert value_of({"content": 7}) == ""
    with pytest.raises(McpError, match="the tool failed"):
        value_of({"isError": True})
    with pytest.raises(McpError, match="boom"):
        result_of({"error": {"message": "boom"}})
