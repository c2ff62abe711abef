"""The HTTP side of a front: every route of the table bound to its handler, and the OpenAPI document beside it."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from agent.api import openapi
from agent.api.agent_handlers import AgentHandlers
from agent.api.bind import Counted, bind
from agent.api.calls import CallHandlers
from agent.api.gate import Gate
from agent.api.routes import ROUTES
from agent.api.service_handlers import ServiceHandlers
from agent.api.webhook_handlers import WebhookHandlers


def add_rest(
    app: web.Application,
    *,
    gate: Gate,
    calls: CallHandlers,
    agents: AgentHandlers,
    webhooks: WebhookHandlers,
    service: ServiceHandlers,
    counted: Counted = lambda operation, status: None,
    on_bug: Callable[[str, Exception], None] = lambda operation, error: None,
) -> None:
    """``/v1/…``. Raises ``KeyError`` for a route without a handler."""
    handlers = {**calls.table(), **agents.table(), **webhooks.table(), **service.table()}
    bind(app, ROUTES, handlers, gate, counted=counted, on_bug=on_bug)
    text = openapi.text()

    async def described(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="application/json")

    app.router.add_route("GET", "/v1/openapi.json", described)
