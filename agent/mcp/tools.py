"""The tools of all MCP servers of an agent, and the questions that go to them instead of to ``agent.tool_url``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from agent.brain.tool_specs import ToolSpec
from agent.config import McpServer
from agent.errors import ToolFailed
from agent.logging import Log
from agent.mcp.messages import McpError, McpTool
from agent.mcp.server import McpClient, NewTransport
from agent.mcp.transport import HttpTransport, StdioTransport
from agent.ports import Decision, Decisions
from agent.tasks import Tasks
from telephony.events import LegInfo

FIRST_LIST_S: Final = 3.0
"""How long a start waits, so that the first calls have tools; who is later is there when it is there."""
PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "SYSTEMROOT")
"""Of our environment: a program needs no more of it, and our secrets are there."""


class McpTools:
    """An async context manager: its servers are kept connected inside the block."""

    def __init__(
        self,
        servers: Sequence[McpServer],
        *,
        environment: Mapping[str, str],
        log: Log,
        first_list_s: float = FIRST_LIST_S,
    ) -> None:
        self._first_list_s = first_list_s
        self._clients = [McpClient(server, _transport(server, environment), log=log) for server in servers]
        self._tasks = Tasks()

    async def __aenter__(self) -> McpTools:
        await self._tasks.__aenter__()
        for client in self._clients:
            self._tasks.start(client.run())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._first_list_s):
                for client in self._clients:
                    await client.listed()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._tasks.__aexit__(kind, error, traceback)

    def specs(self) -> list[ToolSpec]:
        """What was last listed; of two tools with one name the one of the server named first."""
        found: dict[str, ToolSpec] = {}
        for client in self._clients:
            for name, tool in client.tools.items():
                found.setdefault(name, tool.spec)
        return list(found.values())

    def find(self, name: str) -> tuple[McpClient, McpTool] | None:
        for client in self._clients:
            if name in client.tools:
                return client, client.tools[name]
        return None


class McpDecisions:
    """Implements ``agent.ports.Decisions``: tools of MCP servers are asked there, everything else as before.

    ``own``: tools that ``agent.tool_url`` answers, whatever a server calls its own.
    """

    def __init__(self, others: Decisions, tools: McpTools, *, own: frozenset[str], budget_s: float) -> None:
        self._others = others
        self._tools = tools
        self._own = own
        self._budget_s = budget_s

    async def incoming(self, call_id: str, leg: LegInfo) -> Decision:
        return await self._others.incoming(call_id, leg)

    async def tool(self, call_id: str, name: str, arguments: dict[str, Any], request_id: str) -> Any:
        found = None if name in self._own else self._tools.find(name)
        if found is None:
            return await self._others.tool(call_id, name, arguments, request_id)
        client, tool = found
        try:
            return await client.call(tool, arguments, key=f"{call_id}:{request_id}", timeout_s=self._budget_s)
        except McpError as error:
            raise ToolFailed(f"{name}: {error}") from error


def _transport(server: McpServer, environment: Mapping[str, str]) -> NewTransport:
    if server.url:
        pairs = (line.partition(":") for line in server.headers)
        headers = {name.strip(): value.strip() for name, _, value in pairs}
        return lambda on_change: HttpTransport(server.url, headers, on_change)
    given = {name: environment[name] for name in PASSED_ON if name in environment}
    given |= {name: value for name, _, value in (line.partition("=") for line in server.environment)}
    return lambda on_change: StdioTransport(server.command, given, on_change)
