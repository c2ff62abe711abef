"""Delivers the outbox to its endpoints: one lane for each, so that a slow one costs the others nothing.

Order: the outbox hands out one event per endpoint and call at a time, by ``seq``; one that has been failing for a
minute lets the later ones pass. At least once: an attempt whose outcome could not be recorded is made again, with the
same ``webhook-id``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from agent.config import WebhookEndpoint
from agent.errors import StoreUnavailable
from agent.events.bodies import event_body
from agent.events.errors import WebhookFailed
from agent.events.http import Answer
from agent.events.names import LogEvent
from agent.events.retry import Breaker, Next, Verdict, decide
from agent.events.signing import Signer
from agent.logging import Log
from agent.store.interface import Delivery, Outbox
from telephony.clock import Clock

CONCURRENCY = 8
"""Attempts in flight per endpoint."""
TIMEOUT_S = 10.0
CLAIM_S = 30.0
"""Longer than an attempt: a claim that runs out means that its deliverer died."""
LONGEST_WAIT_S = 3 * 86_400.0
"""No retry is due later than that."""
POLL_S = 0.25
"""How often a lane looks without being told (``poke``): retries that are due, claims that ran out."""


class Poster(Protocol):
    """An open ``HttpClient``."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> Answer: ...


class Watch(Protocol):
    """Told of each attempt, for metrics."""

    def __call__(self, endpoint: str, verdict: Verdict, status: int | None, took_s: float, /) -> None: ...


@dataclass(slots=True, eq=False)
class _Lane:
    endpoint: WebhookEndpoint
    signer: Signer
    breaker: Breaker = field(default_factory=Breaker)
    in_flight: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing was due at the last look, and nothing is in flight."""
    is_disabled: bool = False
    """It answered 410."""
    is_removed: bool = False


class WebhookDeliverer:
    """Run ``run()`` in a task group. ``worker`` names this process among the deliverers of one store."""

    def __init__(
        self,
        outbox: Outbox,
        endpoints: Sequence[WebhookEndpoint],
        *,
        http: Poster,
        worker: str,
        wall: Callable[[], float],
        clock: Clock,
        rng: Random,
        log: Log,
        watch: Watch | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        self._outbox = outbox
        self._lanes = [_Lane(one, Signer(one.secret.split())) for one in endpoints]
        self._group: asyncio.TaskGroup | None = None
        self._http = http
        self._worker = worker
        self._wall = wall
        self._clock = clock
        self._rng = rng
        self._log = log
        self._watch = watch
        self._poll_s = poll_s

    @property
    def disabled(self) -> list[str]:
        """Endpoints that answered 410: off until the next start."""
        return [lane.endpoint.name for lane in self._lanes if lane.is_disabled]

    def poke(self) -> None:
        """There is something new: look at once."""
        for lane in self._lanes:
            lane.wake.set()

    async def use(self, endpoints: Sequence[WebhookEndpoint]) -> None:
        """Deliver to these from now on: new ones begin, changed ones go on as changed, the others end."""
        wanted = {one.name: one for one in endpoints}
        for lane in self._lanes:
            if (endpoint := wanted.pop(lane.endpoint.name, None)) is None:
                lane.is_removed = True
                lane.wake.set()
            else:
                lane.endpoint, lane.signer = endpoint, Signer(endpoint.secret.split())
        self._lanes = [lane for lane in self._lanes if not lane.is_removed]
        for endpoint in wanted.values():
            lane = _Lane(endpoint, Signer(endpoint.secret.split()))
            self._lanes.append(lane)
            if self._group is not None:
                self._group.create_task(self._drive(lane))
        await self._outbox_endpoints()

    async def bury(self, endpoint: str) -> int:
        """Make dead letters of what waits for an endpoint that is gone; how many."""
        buried = 0
        while found := await self._outbox.claim(
            self._worker, limit=100, now=self._wall() + LONGEST_WAIT_S, claim_s=CLAIM_S, endpoint=endpoint
        ):
            now = self._wall()
            attempt = {"at": now, "status": None, "latency_ms": 0, "error": "the endpoint was deleted"}
            for delivery in found:
                await self._outbox.failed(delivery.delivery_id, attempt=attempt, retry_at=None, now=now)
            buried += len(found)
        return buried

    async def try_once(self, endpoint: str, event_id: str, body: bytes) -> dict[str, Any] | None:
        """Send one message now, outside the outbox; what came of it. ``None``: there is no such endpoint."""
        lane = next((lane for lane in self._lanes if lane.endpoint.name == endpoint), None)
        if lane is None:
            return None
        began, at = self._clock.now(), self._wall()
        answer, error = await self._post(lane, event_id, body, at)
        status = answer.status if answer is not None else None
        return {"at": at, "status": status, "latency_ms": round((self._clock.now() - began) * 1000), "error": error}

    async def flush(self, *, timeout_s: float) -> bool:
        """Wait until everything that is due has been tried, before the process ends. ``False``: not in time."""
        lanes = [lane for lane in self._lanes if not lane.is_disabled and not lane.breaker.is_open]
        for lane in lanes:
            lane.quiet.clear()
            lane.wake.set()
        try:
            async with asyncio.timeout(timeout_s):
                for lane in lanes:
                    await lane.quiet.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Deliver until cancelled. Attempts in flight are then given up; their claims run out and they come again."""
        await self._outbox_endpoints()
        async with asyncio.TaskGroup() as group:
            self._group = group
            for lane in self._lanes:
                group.create_task(self._drive(lane))
            await asyncio.Event().wait()  # endpoints may be added at any time

    async def _outbox_endpoints(self) -> None:
        wanted = {one.endpoint.name: one.endpoint.events for one in self._lanes if not one.is_disabled}
        try:
            await self._outbox.set_endpoints(dict(wanted))
        except StoreUnavailable as error:
            self._log.warning(LogEvent.WEBHOOK_FAILED, error=str(error))

    async def _drive(self, lane: _Lane) -> None:
        async with asyncio.TaskGroup() as group:
            while not lane.is_disabled and not lane.is_removed:
                lane.wake.clear()
                room = lane.breaker.room(limit=CONCURRENCY, in_flight=lane.in_flight, now=self._clock.now())
                claimed = await self._claim(lane, room) if room else []
                for delivery in claimed:
                    lane.in_flight += 1
                    group.create_task(self._deliver(lane, delivery))
                if not claimed:
                    if not lane.in_flight:
                        lane.quiet.set()
                    await _sleep_until(lane.wake, self._poll_s)

    async def _claim(self, lane: _Lane, room: int) -> list[Delivery]:
        try:
            return await self._outbox.claim(
                self._worker, limit=room, now=self._wall(), claim_s=CLAIM_S, endpoint=lane.endpoint.name
            )
        except StoreUnavailable:
            return []  # the store says itself that it is away

    async def _deliver(self, lane: _Lane, delivery: Delivery) -> None:
        try:
            await self._attempt(lane, delivery)
        except StoreUnavailable as error:  # not recorded: its claim runs out and it comes again
            self._log.warning(LogEvent.WEBHOOK_FAILED, endpoint=lane.endpoint.name, error=str(error))
        finally:
            lane.in_flight -= 1
            lane.wake.set()

    async def _attempt(self, lane: _Lane, delivery: Delivery) -> None:
        began, at = self._clock.now(), self._wall()
        answer, error = await self._post(lane, delivery.event.event_id, event_body(delivery.event), at)
        took_s = self._clock.now() - began
        status = answer.status if answer is not None else None
        if answer is not None:
            lane.breaker.answered()
        else:
            lane.breaker.unanswered(now=self._clock.now())
        headers = answer.headers if answer is not None else {}
        after = decide(attempt=delivery.attempt, status=status, headers=headers, now=self._wall(), rng=self._rng)
        if self._watch is not None:
            self._watch(lane.endpoint.name, after.verdict, status, took_s)
        attempt = {"at": at, "status": status, "latency_ms": round(took_s * 1000), "error": error}
        await self._record(lane, delivery, attempt, after)

    async def _post(self, lane: _Lane, event_id: str, body: bytes, at: float) -> tuple[Answer | None, str]:
        """The answer if there was one, and what was wrong (empty: nothing)."""
        headers = lane.signer.headers(event_id, at, body)
        try:
            answer = await self._http.post(lane.endpoint.url, body, headers, timeout_s=TIMEOUT_S)
        except WebhookFailed as error:
            return None, str(error)
        except Exception as error:  # the task boundary of an attempt: one bad endpoint must not end the deliverer
            return None, f"internal: {error!r}"
        return answer, "" if 200 <= answer.status < 300 else f"status {answer.status}"

    async def _record(self, lane: _Lane, delivery: Delivery, attempt: dict[str, Any], after: Next) -> None:
        log = self._log.bind(
            endpoint=lane.endpoint.name,
            call_id=delivery.event.call_id,
            name=delivery.event.name,
            seq=delivery.event.seq,
            attempt_no=delivery.attempt + 1,
            status=attempt["status"],
            latency_ms=attempt["latency_ms"],
        )
        now = self._wall()
        if after.verdict is Verdict.DELIVERED:
            await self._outbox.delivered(delivery.delivery_id, attempt=attempt, now=now)
            log.debug(LogEvent.WEBHOOK_DELIVERED)
            return
        if after.verdict is Verdict.DISABLED:
            lane.is_disabled = True
            await self._outbox_endpoints()
        await self._outbox.failed(delivery.delivery_id, attempt=attempt, retry_at=after.retry_at, now=now)
        if after.verdict is Verdict.RETRY:
            log.info(LogEvent.WEBHOOK_FAILED, error=attempt["error"])
        else:
            log.error(LogEvent.WEBHOOK_DEAD, error=attempt["error"], endpoint_disabled=lane.is_disabled)


async def _sleep_until(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
