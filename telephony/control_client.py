"""The front's end of a control channel: requests with one answer each, and news. Any kind of edge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from telephony.edge_messages import ControlReader, pack_message, parse_object
from telephony.errors import MediaError, RemoteProtocolError, TransportClosed


class ControlClient:
    """Commands to one edge and news from it. Owned by one event loop; callbacks run in it and must not block.

    A refused command raises ``MediaError``, a lost edge ``TransportClosed`` (once for every waiting command).
    """

    def __init__(self, *, answer_timeout_s: float = 5.0) -> None:
        self.on_lost: Callable[[], None] = lambda: None
        """The edge is gone; not called after ``aclose``."""
        self._answer_timeout_s = answer_timeout_s
        self._channel: _Channel | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next_id = 1

    def on_news(self, body: dict[str, Any]) -> None:
        """A message with an ``event``."""

    @property
    def connected(self) -> bool:
        return self._channel is not None

    async def connect(self, path: str) -> None:
        """Connect to the edge's control socket. Raises ``OSError`` if there is none."""
        loop = asyncio.get_running_loop()
        _, self._channel = await loop.create_unix_connection(lambda: _Channel(self._received, self._lost), path)

    async def stats(self) -> dict[str, Any]:
        """Counters of the edge process."""
        answer = await self.ask("stats", "")
        return dict(answer["stats"])

    async def aclose(self) -> None:
        """Close the channel. The edge ends all its legs unless a front connects within its grace time."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        self._fail_waiting()

    async def ask(self, command: str, leg_id: str, **more: Any) -> dict[str, Any]:
        """One command and its answer."""
        channel = self._channel
        if channel is None:
            raise TransportClosed("no connection to the edge")
        number, self._next_id = self._next_id, self._next_id + 1
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        channel.write(pack_message({"id": number, "cmd": command, "leg": leg_id, **more}))
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                answer = await future
        except TimeoutError:
            raise MediaError(f"the edge did not answer {command}") from None
        finally:
            self._waiting.pop(number, None)
        if not answer.get("ok"):
            raise MediaError(str(answer.get("error", f"the edge refused {command}")))
        return answer

    def order(self, command: str, leg_id: str, **more: Any) -> None:
        """One command whose answer nobody waits for; nothing happens without a connection."""
        if self._channel is not None:
            self._channel.write(pack_message({"id": 0, "cmd": command, "leg": leg_id, **more}))

    def _received(self, body: dict[str, Any]) -> None:
        if "event" in body:
            self.on_news(body)
            return
        future = self._waiting.get(body.get("id", 0))
        if future is not None and not future.done():
            future.set_result(body)

    def _lost(self) -> None:
        was_connected, self._channel = self._channel is not None, None
        self._fail_waiting()
        if was_connected:
            self.on_lost()

    def _fail_waiting(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(TransportClosed("the edge is gone"))


class _Channel(asyncio.Protocol):
    """Bytes of the Unix socket to messages. A protocol and not a reader task: nothing to own or cancel."""

    def __init__(self, on_message: Callable[[dict[str, Any]], None], on_lost: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._reader = ControlReader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        try:
            for text in self._reader.feed(data):
                self._on_message(parse_object(text))
        except RemoteProtocolError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
