"""The WebSocket of one call to a ConversationRelay server: connects, connects again, gives up in time."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

from agent.tasks import Tasks

MOST_MESSAGE_BYTES: Final = 64 * 1024
MOST_WAITING: Final = 256
"""Messages that wait for a server that does not read; one more ends the connection."""
HEARTBEAT_S: Final = 20.0
PAUSES_S: Final = (0.1, 0.3, 1.0)
LASTING_S: Final = 5.0
"""A connection that lives that long counts as one: the budget starts anew."""


@dataclass(frozen=True, slots=True)
class Received:
    text: str


@dataclass(frozen=True, slots=True)
class Connected:
    is_first: bool


@dataclass(frozen=True, slots=True)
class Lost:
    pass


@dataclass(frozen=True, slots=True)
class GaveUp:
    why: str


@dataclass(frozen=True, slots=True)
class Woken:
    """Nothing came; whoever waits looks at its deadline again."""


News = Received | Connected | Lost | GaveUp | Woken


def signature(token: str, url: str) -> str:
    """``X-Twilio-Signature`` of a request without parameters: base64 of HMAC-SHA1 over its URL."""
    return base64.b64encode(hmac.new(token.encode(), url.encode(), hashlib.sha1).digest()).decode()


class RelaySocket:
    """One call's connection. ``news`` is read by the conversation."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        headers: Mapping[str, str],
        *,
        setup: Callable[[bool], str],
        connect_s: float,
    ) -> None:
        """``setup(resumed)`` makes the first message of a connection."""
        self._http = http
        self._url = url
        self._headers = headers
        self._setup = setup
        self._connect_s = connect_s
        self._out: asyncio.Queue[str] = asyncio.Queue(MOST_WAITING)
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._is_stuck = asyncio.Event()
        self.news: asyncio.Queue[News] = asyncio.Queue(MOST_WAITING)

    def send(self, message: str) -> None:
        """Dropped while there is no connection: what matters is asked again on the next one."""
        if self._socket is None:
            return
        try:
            self._out.put_nowait(message)
        except asyncio.QueueFull:
            self._is_stuck.set()

    async def run(self) -> None:
        """Until cancelled, or until the server has stayed away for ``connect_s``."""
        try:
            why = await self._keep()
        except Exception as error:  # what goes wrong with one call's server must not end the brain of the others
            why = repr(error)
        await self.news.put(GaveUp(why))

    async def _keep(self) -> str:
        """Why there is no use in going on."""
        loop = asyncio.get_running_loop()
        away_since, attempt, resumed = loop.time(), 0, False
        while True:
            why = "closed"
            began = loop.time()
            try:
                async with asyncio.timeout(max(0.01, away_since + self._connect_s - loop.time())):
                    socket = await self._connect()
                await self._talk(socket, resumed)
                resumed = True
            except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
                why = type(error).__name__
            if loop.time() - began > LASTING_S:
                away_since, attempt = loop.time(), 0
            pause_s = PAUSES_S[min(attempt, len(PAUSES_S) - 1)]
            attempt += 1
            if loop.time() + pause_s - away_since >= self._connect_s:
                return why
            await asyncio.sleep(pause_s)

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        return await self._http.ws_connect(
            self._url, headers=self._headers, max_msg_size=MOST_MESSAGE_BYTES, heartbeat=HEARTBEAT_S
        )

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse, resumed: bool) -> None:
        while not self._out.empty():
            self._out.get_nowait()
        self._is_stuck.clear()
        try:
            await socket.send_str(self._setup(resumed))
            self._socket = socket
            await self.news.put(Connected(not resumed))
            async with Tasks() as tasks:
                tasks.start(self._write(socket))
                tasks.start(self._watch(socket))
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        await self.news.put(Received(message.data))  # a babbling server waits for us
        finally:
            self._socket = None
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(1.0):
                    await socket.close()
        await self.news.put(Lost())

    async def _write(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            while True:
                await socket.send_str(await self._out.get())

    async def _watch(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await self._is_stuck.wait()
        await socket.close()
