"""``/``: the page to talk to the agent."""

from __future__ import annotations

from aiohttp import web

from agent.api.page import add_common, add_page


def add_talk_routes(app: web.Application) -> None:
    """``/``, the files beside it under ``/talk/``, and what all pages share under ``/common/``."""
    add_common(app)
    add_page(app, "talk", at="/", permissions="microphone=(self), camera=(), geolocation=()")
