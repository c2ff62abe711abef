"""The front's end of a worker: seats to open, messages to send, events to read.

No task of its own: the connection is an ``asyncio.Protocol`` whose callbacks put events into one bounded queue
per seat. A queue that is full means that its session has stopped reading: that seat is lost, the others go on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, cast

from agent.errors import AdmissionRefused, SeatLost
from agent.model.protocol import TOLD_WORDS, Persona
from agent.pool.address import parse_address
from agent.pool.messages import (
    CloseSeat,
    Drain,
    Message,
    MessageReader,
    OpenSeat,
    SeatClosed,
    SeatEvent,
    SeatMessage,
    SeatOpened,
    SeatRefused,
    UtteranceEnded,
    WorkerHello,
    WorkerStats,
    encode,
)
from agent.scheduler.floor.profile import FloorProfile
from telephony.errors import RemoteProtocolError, TelephonyError
from telephony.plane import SeatAddress

MAX_EVENTS: Final = 2048
"""Events that may wait for one session; more means that it has stopped reading."""
MAX_UNSENT_BYTES: Final = 32 * 1024 * 1024
"""Control bytes that may wait for a worker that does not read; more ends the connection (never dropped)."""


class SeatHandle:
    """One call's seat on one worker. ``send`` after the seat has gone is ignored."""

    def __init__(self, client: WorkerClient, call_id: str) -> None:
        self.call_id = call_id
        self.row = -1
        self.seat = -1
        self.recording_truncated = False
        self.recording_ready = False
        """The file is there. Both are known when ``close`` has returned."""
        self.heard: deque[str] = deque(maxlen=TOLD_WORDS)
        """The last words of ours that were heard: what the model of another seat is told."""
        self._client = client
        self._queue: asyncio.Queue[SeatEvent | None] = asyncio.Queue()
        self._lost = False
        self._over = asyncio.Event()

    @property
    def client(self) -> WorkerClient:
        return self._client

    @property
    def address(self) -> SeatAddress:
        """Where the leg's audio goes (``Leg.answer``, ``Leg.reroute``)."""
        return SeatAddress(worker=self._client.hello.audio, row=self.row, seat=self.seat)

    @property
    def is_over(self) -> bool:
        """Closed or lost: no event will follow those that wait."""
        return self._over.is_set()

    def send(self, message: SeatMessage) -> None:
        """Send one message to the seat. Never blocks."""
        if not self._over.is_set():
            self._client.send(message)

    async def events(self) -> AsyncIterator[SeatEvent]:
        """All events in order. Ends after ``close``; raises ``SeatLost`` when the worker died or gave the row up."""
        while (event := await self._queue.get()) is not None:
            yield event
        self._queue.put_nowait(None)  # a second reader sees the end too
        if self._lost:
            raise SeatLost

    async def close(self, *, timeout_s: float = 1.0) -> None:
        """Give the row back. Returns when the worker has said so, or after ``timeout_s``."""
        if self._over.is_set():
            return
        self._client.send(CloseSeat(call_id=self.call_id))
        try:
            async with asyncio.timeout(timeout_s):
                await self._over.wait()
        except TimeoutError:
            self._client.forget(self)
            self.end(lost=False)

    def deliver(self, event: SeatEvent) -> None:
        """Called by the client: one event from the worker."""
        if self._over.is_set():
            return
        if self._queue.qsize() >= MAX_EVENTS:
            self._client.send(CloseSeat(call_id=self.call_id))
            self._client.forget(self)
            self.end(lost=True)
            return
        if isinstance(event, UtteranceEnded):
            self.heard += event.heard.split()
        self._queue.put_nowait(event)

    def end(self, *, lost: bool) -> None:
        """Called by the client: nothing follows."""
        if not self._over.is_set():
            self._lost = lost
            self._over.set()
            self._queue.put_nowait(None)


class WorkerClient(asyncio.Protocol):
    """One control connection to one worker."""

    def __init__(self) -> None:
        self.hello: WorkerHello
        self.stats: WorkerStats | None = None
        """Latest, about once a second."""
        self.lost = asyncio.Event()
        """Set when the connection is gone, for whatever reason."""
        self._greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._reader = MessageReader()
        self._seats: dict[str, SeatHandle] = {}
        self._opening: dict[str, asyncio.Future[SeatOpened]] = {}

    @classmethod
    async def connect(cls, path: str, *, timeout_s: float = 10.0) -> WorkerClient:
        """Connect to a worker's control socket and read its ``WorkerHello``.

        Raises ``OSError`` where nobody listens, ``TimeoutError`` where nothing is said.
        """
        loop, address = asyncio.get_running_loop(), parse_address(path)
        async with asyncio.timeout(timeout_s):
            if isinstance(address, str):
                _, client = await loop.create_unix_connection(cls, address)
            else:
                _, client = await loop.create_connection(cls, *address)
            try:
                await client._greeted
            except BaseException:
                await client.close()
                raise
        return client

    @property
    def name(self) -> str:
        return self.hello.worker

    @property
    def room(self) -> int:
        """Rows that are offered and free, as far as we know."""
        offered = self.stats.rows if self.stats is not None else self.hello.rows
        return 0 if self.lost.is_set() else max(0, offered - len(self._seats) - len(self._opening))

    @property
    def fallback(self) -> str:
        """Why its simpler ears judge, as far as we know; empty: they do not."""
        return self.stats.fallback if self.stats is not None else self.hello.fallback

    @property
    def seats(self) -> int:
        """Seats that this front holds."""
        return len(self._seats)

    async def open_seat(
        self, call_id: str, *, profile: FloorProfile, persona: Persona, record: str = "", timeout_s: float = 2.0
    ) -> SeatHandle:
        """Claim a row. Raises ``AdmissionRefused`` (full, draining) and ``SeatLost`` (the worker is gone or silent)."""
        if self.lost.is_set():
            raise SeatLost
        if call_id in self._seats or call_id in self._opening:
            raise AdmissionRefused("call_has_seat")
        handle = SeatHandle(self, call_id)
        future: asyncio.Future[SeatOpened] = asyncio.get_running_loop().create_future()
        self._opening[call_id], self._seats[call_id] = future, handle
        persona_json = {"text": persona.text, "voice": persona.voice, "seed": persona.seed}
        self.send(OpenSeat(call_id=call_id, profile=profile.to_json(), persona=persona_json, record=record))
        try:
            async with asyncio.timeout(timeout_s):
                opened = await future
        except BaseException as error:
            self._seats.pop(call_id, None)
            if not isinstance(error, AdmissionRefused):
                self.send(CloseSeat(call_id=call_id))
            if isinstance(error, TimeoutError):
                raise SeatLost from None
            raise
        finally:
            self._opening.pop(call_id, None)
        handle.row, handle.seat = opened.row, opened.seat
        return handle

    def send(self, message: Message) -> None:
        """Queue one message; ends the connection where the worker has stopped reading."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(encode(message))
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            transport.abort()

    def drain(self) -> None:
        """The worker takes no new seats from now on."""
        self.send(Drain())

    def forget(self, handle: SeatHandle) -> None:
        """A seat is over on our side: later events of it are dropped."""
        if self._seats.get(handle.call_id) is handle:
            del self._seats[handle.call_id]

    async def close(self) -> None:
        """Close the connection; the worker frees the seats of a front that has gone."""
        if self._transport is not None:
            self._transport.close()
            await self.lost.wait()

    # --- asyncio.Protocol ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._receive(message)
        except (RemoteProtocolError, TelephonyError):
            assert self._transport is not None
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        if not self._greeted.done():
            self._greeted.set_exception(ConnectionResetError("worker closed before its hello"))
        for future in self._opening.values():
            if not future.done():
                future.set_exception(SeatLost())
        for handle in list(self._seats.values()):
            handle.end(lost=True)
        self._seats.clear()

    def _receive(self, message: Message) -> None:
        match message:
            case SeatEvent():
                if (handle := self._seats.get(message.call_id)) is not None:
                    handle.deliver(message)
            case WorkerStats():
                self.stats = message
            case SeatOpened():
                future = self._opening.get(message.call_id)
                if future is not None and not future.done():
                    future.set_result(message)
            case SeatRefused():
                future = self._opening.get(message.call_id)
                if future is not None and not future.done():
                    future.set_exception(AdmissionRefused(message.reason, retry_after_s=5))
            case SeatClosed():
                if (handle := self._seats.pop(message.call_id, None)) is not None:
                    handle.recording_truncated = message.recording_truncated
                    handle.recording_ready = message.recording_ready
                    handle.end(lost=message.reason != "closed")
            case WorkerHello():
                self.hello = message
                if not self._greeted.done():
                    self._greeted.set_result(None)
            case _:
                pass
