"""The front's end of the control channel of an edge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from telephony.edge_messages import (
    ControlReader,
    event_from_json,
    media_to_json,
    pack_message,
    parse_object,
    quality_from_json,
    seat_to_json,
)
from telephony.errors import MediaError, RemoteProtocolError, TransportClosed
from telephony.events import LegEvent, MediaQuality
from telephony.media import LegMedia
from telephony.plane import SeatAddress


class EdgeClient:
    """Commands to one edge and news from it. Owned by one event loop; callbacks run in it and must not block.

    A refused command raises ``MediaError``, a lost edge ``TransportClosed`` (once for every waiting command).
    """

    def __init__(
        self,
        *,
        on_event: Callable[[LegEvent], None] = lambda event: None,
        on_lost: Callable[[], None] = lambda: None,
        answer_timeout_s: float = 5.0,
    ) -> None:
        self.on_event = on_event
        """News of legs: keys, timeouts, quality, latching, a lost worker."""
        self.on_lost = on_lost
        """The edge is gone; not called after ``aclose``."""
        self._answer_timeout_s = answer_timeout_s
        self._channel: _Channel | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next_id = 1

    @property
    def connected(self) -> bool:
        return self._channel is not None

    async def connect(self, path: str) -> None:
        """Connect to the edge's control socket. Raises ``OSError`` if there is none."""
        loop = asyncio.get_running_loop()
        _, self._channel = await loop.create_unix_connection(lambda: _Channel(self._received, self._lost), path)

    async def reserve(self, leg_id: str, port: int | None = None) -> int:
        """Bind an even RTP port (and RTCP on the next) for a leg, before its SDP is known; returns the port."""
        answer = await self._ask("reserve", leg_id, port=port)
        return int(answer["port"])

    async def open(self, leg_id: str, media: LegMedia, seat: SeatAddress | None = None) -> None:
        """Start the media of a reserved leg. Without a seat the peer gets silence."""
        await self._ask("open", leg_id, media=media_to_json(media), seat=None if seat is None else seat_to_json(seat))

    async def update(self, leg_id: str, media: LegMedia) -> None:
        """New SDP: hold, resume, new address. Own SSRC, sequence and timestamp go on; latching learns again."""
        await self._ask("update", leg_id, media=media_to_json(media))

    async def route(self, leg_id: str, seat: SeatAddress | None) -> None:
        """Exchange audio with another seat from the next tick on."""
        await self._ask("route", leg_id, seat=None if seat is None else seat_to_json(seat))

    async def send_dtmf(self, leg_id: str, digits: str) -> None:
        """Send keys by RFC 4733, one after the other; returns when they are queued."""
        await self._ask("send_dtmf", leg_id, digits=digits)

    async def close(self, leg_id: str) -> MediaQuality | None:
        """End the leg's media (RTCP BYE); its last counters, or ``None`` if it was never open."""
        answer = await self._ask("close", leg_id)
        quality = answer.get("quality")
        return None if quality is None else quality_from_json(leg_id, quality)

    async def stats(self) -> dict[str, Any]:
        """Counters of the edge process; see ``telephony.edge_stats``."""
        answer = await self._ask("stats", "")
        return dict(answer["stats"])

    async def aclose(self) -> None:
        """Close the channel. The edge ends all its legs unless a front connects within its grace time."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        self._fail_waiting()

    async def _ask(self, command: str, leg_id: str, **more: Any) -> dict[str, Any]:
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

    def _received(self, body: dict[str, Any]) -> None:
        if "event" in body:
            for event in event_from_json(body):
                self.on_event(event)
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
