"""``/livez``, ``/readyz``, ``/healthz``, ``/metrics``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from agent.metrics import CONTENT_TYPE, Metrics

Health = Callable[[], dict[str, Any]]
"""The front's view of itself: ``status`` (``ready``, ``draining``, ``degraded``), parts, processes, calls."""


def add_health_routes(
    app: web.Application, health: Health, metrics: Metrics, *, refresh: Callable[[], Awaitable[None]]
) -> None:
    """``refresh`` brings the gauges that nobody feeds by themselves up to date, before each scrape."""

    async def livez(_request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_request: web.Request) -> web.Response:
        status = health()["status"]
        return web.Response(text=f"{status}\n", status=200 if status == "ready" else 503)

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response(health())

    async def render(_request: web.Request) -> web.Response:
        await refresh()
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/healthz", healthz),
            web.get("/metrics", render),
        ]
    )
