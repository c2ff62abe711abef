"""Health, metrics and calls over real HTTP on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from agent.api.calls import add_call_routes, problems
from agent.api.health import add_health_routes
from agent.errors import StoreUnavailable
from agent.metrics import Metrics
from agent.store.interface import CallRecord, CallState, StoredEvent, TimelineEntry


class ListedStore:
    """One call, or no answer at all."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.asked: list[dict[str, Any]] = []
        self.record = CallRecord(
            call_id="c1",
            tenant="default",
            agent="parcel",
            transport="sip",
            direction="inbound",
            from_uri="sip:a@b",
            to_uri="sip:c@d",
            state=CallState.ENDED,
            owner="gw",
            fence=1,
            created_at=1.0,
        )

    async def list_calls(self, **query: Any) -> list[CallRecord]:
        if self.away:
            raise StoreUnavailable("no answer")
        self.asked.append(query)
        return [self.record]

    async def get_call(self, call_id: str) -> CallRecord | None:
        return self.record if call_id == "c1" else None

    async def timeline(self, call_id: str) -> list[TimelineEntry]:
        return [TimelineEntry(at_ms=5, kind="floor", data={"after": "CALLER"})]

    async def events_of(self, call_id: str) -> list[StoredEvent]:
        return [StoredEvent(event_id="e1", call_id=call_id, seq=1, name="call.started", at=1.0, data={})]

    async def attempts(self, call_id: str) -> Sequence[dict[str, Any]]:
        return []


@asynccontextmanager
async def served(store: ListedStore, status: str = "ready") -> AsyncIterator[str]:
    app = web.Application(middlewares=[problems])
    metrics = Metrics()

    async def refresh() -> None:
        metrics.seats_total.labels("w1").set(16)

    add_health_routes(app, lambda: {"status": status}, metrics, refresh=refresh)
    add_call_routes(app, cast(Any, store), cast(Any, store))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def get(url: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, answer.content_type, await answer.text()


async def test_ready_is_red_while_draining_and_alive_stays_green() -> None:
    async with served(ListedStore(), status="draining") as url:
        assert (await get(url + "/readyz"))[0] == 503
        assert (await get(url + "/livez"))[0] == 200


async def test_metrics_come_in_the_text_format() -> None:
    async with served(ListedStore()) as url:
        status, _, text = await get(url + "/metrics")
        assert 'crosstalk_seats_total{worker="w1"} 16.0' in text  # brought up to date by the scrape itself
    assert status == 200
    assert "# HELP crosstalk_calls_total" in text


async def test_calls_are_listed_with_what_was_asked() -> None:
    store = ListedStore()
    async with served(store) as url:
        status, _, text = await get(url + "/v1/calls?limit=7&state=ended&before=c9")
    assert status == 200
    assert '"call_id": "c1"' in text
    assert store.asked == [{"limit": 7, "before": "c9", "state": CallState.ENDED}]


@pytest.mark.parametrize("query", ["limit=no", "limit=0", "limit=100000", "state=dancing"])
async def test_bad_query_is_a_problem_that_says_why(query: str) -> None:
    async with served(ListedStore()) as url:
        status, kind, text = await get(f"{url}/v1/calls?{query}")
    assert (status, kind) == (400, "application/problem+json")
    assert "detail" in text


@pytest.mark.parametrize("path", ["/v1/calls/none", "/v1/nothing"])
async def test_what_is_not_there_is_a_problem_too(path: str) -> None:
    async with served(ListedStore()) as url:
        status, kind, _ = await get(url + path)
    assert (status, kind) == (404, "application/problem+json")


async def test_store_that_is_away_is_said_without_a_traceback() -> None:
    async with served(ListedStore(away=True)) as url:
        status, kind, text = await get(url + "/v1/calls")
    assert (status, kind) == (503, "application/problem+json")
    assert "Traceback" not in text


async def test_timeline_and_events_are_shown() -> None:
    async with served(ListedStore()) as url:
        assert '"kind": "floor"' in (await get(url + "/v1/calls/c1/timeline"))[2]
        assert '"name": "call.started"' in (await get(url + "/v1/calls/c1/events"))[2]
