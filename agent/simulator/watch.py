"""What a service tells of its calls while they run: its event stream (``GET /v1/events``), by call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

QUEUE_LIMIT: Final = 1000
"""Events of one call that wait; later ones are dropped: nobody reads that call."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One event."""

    kind: str
    data: dict[str, Any]


class EventWatch:
    """Events of all calls, each call's in a queue of its own from its first event on."""

    def __init__(self) -> None:
        self._queues: dict[str, asyncio.Queue[Seen]] = {}

    def of(self, call_id: str) -> asyncio.Queue[Seen]:
        return self._queues.setdefault(call_id, asyncio.Queue(QUEUE_LIMIT))

    def forget(self, call_id: str) -> None:
        self._queues.pop(call_id, None)

    async def read(self, lines: AsyncIterable[bytes]) -> None:
        """Take a stream of Server-Sent Events, line by line."""
        kind = ""
        async for line in lines:
            name, _, value = line.decode().rstrip("\r\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data" and kind:
                self._take(kind, json.loads(value))
            elif not name:
                kind = ""

    def _take(self, kind: str, body: dict[str, Any]) -> None:
        queue = self.of(str(body.get("call_id", "")))
        if not queue.full():
            queue.put_nowait(Seen(kind, body.get("data") or {}))


@asynccontextmanager
async def watching(http_url: str, *kinds: str) -> AsyncIterator[EventWatch]:
    """Read the stream of a service on this host until the block ends. Raises ``aiohttp.ClientError``."""
    watch = EventWatch()
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
        session.get(f"{http_url}/v1/events", params={"kinds": ",".join(kinds)}) as response,
    ):
        reader = asyncio.create_task(watch.read(response.content))
        try:
            yield watch
        finally:
            reader.cancel()
            with suppress(asyncio.CancelledError, aiohttp.ClientError):
                await reader
