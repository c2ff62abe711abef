"""A tool that the brain asks for: the customer's server is asked, the caller is told to wait where it takes a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from agent.books import Books
from agent.brain.protocol import Tool, ToolResult
from agent.errors import ToolFailed
from agent.events.names import LogEvent
from agent.ports import Decisions
from telephony.clock import Clock

FILLER_AFTER_S: Final = 0.7


async def run_tool(
    tool: Tool, decisions: Decisions, books: Books, *, clock: Clock, fill: Callable[[], None]
) -> ToolResult:
    """The tool's result, or why there is none. ``fill``: called once when it is not there after ``FILLER_AFTER_S``."""
    started = clock.now()
    asked = asyncio.ensure_future(decisions.tool(books.call_id, tool.name, tool.arguments, tool.request_id))
    try:
        done, _ = await asyncio.wait({asked}, timeout=FILLER_AFTER_S)
        if not done:
            fill()
        result = ToolResult(request_id=tool.request_id, ok=True, value=await asked)
    except ToolFailed as error:
        books.log.info(LogEvent.TOOL_FAILED, tool=tool.name, why=str(error))
        result = ToolResult(request_id=tool.request_id, ok=False, value=str(error))
    finally:
        asked.cancel()
    took_s = clock.now() - started
    books.measures.tool(result.ok, took_s)
    books.log.info(LogEvent.TOOL_CALLED, tool=tool.name, ok=result.ok, took_ms=round(took_s * 1000))
    why = {} if result.ok else {"why": result.value}
    books.note("tool", at=None, name=tool.name, ok=result.ok, took_ms=round(took_s * 1000), **why)
    return result
