"""MediaPlane of the stream edge: its calls as legs, what the edge tells as events, and what its loss means."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from telephony.edge_messages import seat_to_json
from telephony.errors import MediaError, TelephonyError
from telephony.events import LegEnded, LegEvent, LegInfo, MediaQuality
from telephony.plane import Leg, OfferHandler, SeatAddress
from telephony.stream_client import StreamClient
from telephony.stream_messages import info_from_json, leg_event_from_json

MAX_EVENTS = 256
"""Events that may wait for a slow session; beyond it counters are dropped, and anything else ends the leg."""
STOP_S = 2.0
SHOWN = frozenset({"speech", "words", "floor", "turn", "utterance", "overlap", "response", "resume", "dtmf"})
"""Kinds of the session's timeline that clients may see; the rest (notes, tools, seats) is not theirs."""


class StreamLeg:
    """Implements ``telephony.plane.Leg``. ``events`` has one reader."""

    def __init__(self, info: LegInfo, client: StreamClient) -> None:
        self._info, self._client = info, client
        self._waiting: deque[LegEvent] = deque()
        self._ended: LegEnded | None = None
        self._changed = asyncio.Event()

    @property
    def info(self) -> LegInfo:
        return self._info

    @property
    def is_over(self) -> bool:
        return self._ended is not None

    async def ring(self) -> None:
        """A stream waits in silence until it is answered."""

    async def answer(self, seat: SeatAddress) -> None:
        await self._ask("answer", seat=seat_to_json(seat))

    async def refuse(self, status: int, reason: str, *, retry_after_s: int | None = None) -> None:
        await self._ask("refuse", status=status, reason=reason, retry_after_s=retry_after_s)

    async def reroute(self, seat: SeatAddress) -> None:
        with contextlib.suppress(TelephonyError):  # a leg that is gone tells so itself
            await self._ask("route", seat=seat_to_json(seat))

    async def hangup(self, reason: str) -> None:
        await self._ask("hangup", reason=reason)

    async def transfer(self, target: str) -> None:
        await self._ask("transfer", target=target)

    async def send_dtmf(self, digits: str) -> None:
        await self._ask("dtmf", digits=digits)

    def notify(self, at_ms: int, kind: str, data: dict[str, Any]) -> None:
        if self._ended is None and kind in SHOWN:
            self._client.order("notify", self._info.leg_id, at_ms=at_ms, kind=kind, data=data)

    async def events(self) -> AsyncIterator[LegEvent]:
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._ended is not None:
                yield self._ended
                return
            self._changed.clear()
            await self._changed.wait()

    def tell(self, event: LegEvent) -> None:
        """Queue an event; a session that is far behind loses its counters, then its leg."""
        if self._ended is not None:
            return
        if isinstance(event, LegEnded):
            self._ended = event
        elif len(self._waiting) < MAX_EVENTS:
            self._waiting.append(event)
        elif not isinstance(event, MediaQuality):
            self._client.order("hangup", self._info.leg_id, reason="overrun")
            self._ended = LegEnded(leg_id=self._info.leg_id, by="us", status=0, reason="overrun")
        self._changed.set()

    async def _ask(self, command: str, **more: Any) -> None:
        if self._ended is None:
            await self._client.ask(command, self._info.leg_id, **more)


class StreamPlane:
    """Implements ``telephony.plane.MediaPlane``. Owned by one event loop."""

    def __init__(
        self, client: StreamClient, *, name: str = "stream", log: Callable[..., None] = lambda event, **fields: None
    ) -> None:
        """``log`` takes an event's name and its fields."""
        self._client = client
        self._name = name
        self._log = log
        self._legs: dict[str, StreamLeg] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._owner: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()
        self._on_offer: OfferHandler | None = None
        self._draining = False
        client.on_message = self._received

    @property
    def name(self) -> str:
        return self._name

    async def start(self, on_offer: OfferHandler) -> None:
        self._on_offer = on_offer
        group_is_open = asyncio.Event()
        # The one bare task: it owns the group of all others, from start to stop, and stop awaits it.
        self._owner = asyncio.create_task(self._own_tasks(group_is_open))
        await group_is_open.wait()

    async def _own_tasks(self, group_is_open: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            group_is_open.set()
            await self._stopping.wait()
            for task in self._tasks:
                task.cancel()

    async def dial(self, target: str, *, seat: SeatAddress, caller: str = "") -> Leg:
        """A stream is opened by its client: raises ``MediaError``."""
        raise MediaError("streams cannot be dialled")

    def drain(self) -> None:
        self._draining = True
        self._client.order("drain", "")

    async def stop(self) -> None:
        """End every leg that is left and wait a moment for their sessions."""
        for leg in list(self._legs.values()):
            with contextlib.suppress(TelephonyError):
                await leg.hangup("shutdown")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)
        self._stopping.set()
        if self._owner is not None:
            await self._owner
        await self._client.aclose()

    def edge_lost(self) -> None:
        """The edge's process is gone and every stream with it: a socket cannot be opened again from our side."""
        for leg in list(self._legs.values()):
            leg.tell(LegEnded(leg_id=leg.info.leg_id, by="edge", status=0, reason="edge_lost"))

    def edge_restored(self) -> None:
        """A new edge takes calls; one that drains must not."""
        if self._draining:
            self._client.order("drain", "")

    def _received(self, body: dict[str, Any]) -> None:
        if body.get("event") == "offered":
            self._offered(info_from_json(body["info"]))
            return
        if body.get("event") == "refused":
            self._log("stream.refused", **{name: body[name] for name in ("door", "source", "rule", "why", "missed")})
            return
        event = leg_event_from_json(body)
        leg = self._legs.get(event.leg_id) if event is not None else None
        if event is None or leg is None:
            return
        leg.tell(event)

    def _offered(self, info: LegInfo) -> None:
        if self._on_offer is None or self._group is None or self._stopping.is_set():
            self._client.order("refuse", info.leg_id, status=503, reason="starting")
            return
        leg = StreamLeg(info, self._client)
        self._legs[info.leg_id] = leg
        task = self._group.create_task(self._run_offer(self._on_offer, leg))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_offer(self, on_offer: OfferHandler, leg: StreamLeg) -> None:
        try:
            with contextlib.suppress(TelephonyError):  # the leg is gone: one call's end is no other's
                await on_offer(leg)
        finally:
            self._legs.pop(leg.info.leg_id, None)
            if not leg.is_over:
                self._client.order("hangup", leg.info.leg_id, reason="hangup")
