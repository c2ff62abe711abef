"""One MCP server: kept connected in the background, its list of tools kept at hand. No call ever waits for it to be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from agent.config import McpServer
from agent.events.names import LogEvent
from agent.logging import Log
from agent.mcp.messages import (
    MOST_TOOLS,
    McpError,
    McpTool,
    call_params,
    initialize_params,
    read_tools,
    value_of,
)
from agent.mcp.transport import Transport
from agent.tasks import Tasks

START_S: Final = 15.0
LIST_S: Final = 10.0
PAUSES_S: Final = (0.2, 1.0, 5.0, 15.0, 30.0)
SETTLE_S: Final = 0.2
"""A server whose list changes all the time is not asked more often."""

NewTransport = Callable[[Callable[[], None]], Transport]


class McpClient:
    """``run`` keeps it up; ``tools`` is what was last listed, also while the server is away."""

    def __init__(self, config: McpServer, new_transport: NewTransport, *, log: Log) -> None:
        self.name = config.name
        self.tools: dict[str, McpTool] = {}
        """By the name that the model is told."""
        self._config = config
        self._new_transport = new_transport
        self._log = log
        self._transport: Transport | None = None
        self._is_up = asyncio.Event()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Connect, list, stay; again when it ends. Until cancelled."""
        attempt = 0
        while True:
            transport = self._new_transport(self._changed.set)
            try:
                async with Tasks() as tasks:
                    await self._start(transport, tasks)
                    attempt = 0
                    await self._stay(transport)
            except* Exception as group:  # a server must not be able to end the service, whatever it sends
                self._log.warning(LogEvent.MCP_FAILED, server=self.name, why=_why(group))
            finally:
                self._is_up.clear()
                self._transport = None
                with contextlib.suppress(McpError, OSError):
                    await transport.close()
            await asyncio.sleep(PAUSES_S[min(attempt, len(PAUSES_S) - 1)])
            attempt += 1

    async def listed(self) -> None:
        """Wait until it is connected and listed."""
        await self._is_up.wait()

    async def call(self, tool: McpTool, arguments: dict[str, Any], *, key: str, timeout_s: float) -> Any:
        """The tool's value. Raises ``McpError``. Asked again only where that cannot do it twice."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        params = call_params(tool.name, arguments, key)
        for is_last in (False, True):
            try:
                transport = await self._connected(deadline - loop.time())
                left_s = deadline - loop.time()
                return value_of(await transport.request("tools/call", params, timeout_s=left_s, key=key))
            except McpError as error:
                again = error.session_is_gone or (error.may_not_have_run and tool.is_repeatable)
                if is_last or not again:
                    raise
                await asyncio.sleep(0)  # let the connection notice that it is gone
        raise AssertionError("the last attempt returns or raises")

    async def _connected(self, within_s: float) -> Transport:
        try:
            async with asyncio.timeout(max(0.0, within_s)):
                while self._transport is None or self._transport.closed.is_set():
                    self._is_up.clear()
                    await self._is_up.wait()
                return self._transport
        except TimeoutError:
            raise McpError(f"{self.name} is not connected") from None

    async def _start(self, transport: Transport, tasks: Tasks) -> None:
        async with asyncio.timeout(START_S):
            await transport.open(tasks)
            await transport.request("initialize", initialize_params(), timeout_s=START_S)
            await transport.notify("notifications/initialized")
        await self._list(transport)
        self._transport = transport
        self._is_up.set()

    async def _list(self, transport: Transport) -> None:
        found: dict[str, McpTool] = {}
        cursor: Any = None
        while len(found) < MOST_TOOLS:
            params = {} if cursor is None else {"cursor": cursor}
            page = await transport.request("tools/list", params, timeout_s=LIST_S)
            before = len(found)
            found |= {tool.spec.name: tool for tool in read_tools(page, self._config.tools)}
            cursor = page.get("nextCursor")
            if not cursor or not (page.get("tools") and len(found) >= before):
                break
        if found.keys() != self.tools.keys():
            self._log.info(LogEvent.MCP_LISTED, server=self.name, tools=sorted(found))
        self.tools = found

    async def _stay(self, transport: Transport) -> None:
        """List again when the server says so, or after a while; until the connection is gone."""
        while True:
            self._changed.clear()
            gone = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._config.refresh_s):
                    gone = await self._news(transport)
            if gone:
                raise McpError("the connection is gone")
            await asyncio.sleep(SETTLE_S)
            await self._list(transport)

    async def _news(self, transport: Transport) -> bool:
        """Whether it is that the connection is gone."""
        async with Tasks() as tasks:
            waits = {tasks.start(transport.closed.wait()), tasks.start(self._changed.wait())}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return transport.closed.is_set()


def _why(error: BaseException) -> str:
    inner = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
    if isinstance(inner, BaseExceptionGroup):
        return _why(inner)
    return str(inner) if isinstance(inner, McpError) else repr(inner)
