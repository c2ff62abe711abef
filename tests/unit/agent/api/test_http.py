"""Health and metrics over real HTTP on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from agent.api.health import add_health_routes
from agent.api.problems import problems
from agent.errors import StoreUnavailable
from agent.metrics import Metrics


@asynccontextmanager
async def served(status: str = "ready") -> AsyncIterator[str]:
    app = web.Application(middlewares=[problems])
    metrics = Metrics()

    async def refresh() -> None:
        metrics.seats_total.labels("w1").set(16)

    async def away(_request: web.Request) -> web.Response:
        raise StoreUnavailable("no answer")

    add_health_routes(app, lambda: {"status": status}, metrics, refresh=refresh)
    app.router.add_get("/away", away)
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
    async with served(status="draining") as url:
        assert (await get(url + "/readyz"))[0] == 503
        assert (await get(url + "/livez"))[0] == 200


async def test_metrics_come_in_the_text_format() -> None:
    async with served() as url:
        status, _, text = await get(url + "/metrics")
        assert 'crosstalk_seats_total{worker="w1"} 16.0' in text  # brought up to date by the scrape itself
    assert status == 200
    assert "# HELP crosstalk_calls_total" in text


async def test_what_is_not_there_is_a_problem() -> None:
    async with served() as url:
        status, kind, _ = await get(url + "/v1/nothing")
    assert (status, kind) == (404, "application/problem+json")


async def test_store_that_is_away_is_said_without_a_traceback() -> None:
    async with served() as url:
        status, kind, text = await get(url + "/away")
    assert (status, kind) == (503, "application/problem+json")
    assert "Traceback" not in text
