"""``/console``: live calls, what happened in each, agents and workers, on the public REST API only."""

from __future__ import annotations

from aiohttp import web

from agent.api.page import add_page


def add_console_routes(app: web.Application) -> None:
    """``/console`` and the files beside it. The page loads what all pages share as well (``add_common``)."""
    add_page(app, "console", at="/console", permissions="microphone=(), camera=(), geolocation=()")
