"""``/v1/calls``: what is stored of calls, read only, as JSON. Errors are problem details (RFC 9457)."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from aiohttp import web

from agent.errors import StoreUnavailable
from agent.store.interface import CallState, Outbox, Store

MOST_LISTED = 200


def problem(status: int, title: str, detail: str) -> web.Response:
    """One error as problem+json."""
    return web.Response(
        status=status,
        text=json.dumps({"type": "about:blank", "status": status, "title": title, "detail": detail}),
        content_type="application/problem+json",
    )


@web.middleware
async def problems(request: web.Request, handler: Any) -> web.StreamResponse:
    """No traceback leaves: every error is a problem document."""
    try:
        response: web.StreamResponse = await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return problem(error.status, error.reason, error.text or error.reason)
    except StoreUnavailable as error:
        return problem(503, "Store unavailable", str(error))
    return response


def add_call_routes(app: web.Application, store: Store, outbox: Outbox) -> None:
    async def listed(request: web.Request) -> web.Response:
        query = request.query
        try:
            limit = int(query.get("limit", "50"))
            state = CallState(query["state"]) if "state" in query else None
        except ValueError as error:
            return problem(400, "Bad query", str(error))
        if not 1 <= limit <= MOST_LISTED:
            return problem(400, "Bad query", f"limit must be 1..{MOST_LISTED}")
        calls = await store.list_calls(limit=limit, before=query.get("before"), state=state)
        return web.json_response({"calls": [asdict(call) for call in calls]})

    async def one(request: web.Request) -> web.Response:
        call = await store.get_call(request.match_info["call_id"])
        if call is None:
            return problem(404, "No such call", request.match_info["call_id"])
        return web.json_response(asdict(call))

    async def timeline(request: web.Request) -> web.Response:
        entries = await store.timeline(request.match_info["call_id"])
        return web.json_response({"entries": [asdict(entry) for entry in entries]})

    async def events(request: web.Request) -> web.Response:
        call_id = request.match_info["call_id"]
        found = await store.events_of(call_id)
        attempts = await outbox.attempts(call_id)
        return web.json_response({"events": [asdict(event) for event in found], "attempts": attempts})

    app.add_routes(
        [
            web.get("/v1/calls", listed),
            web.get("/v1/calls/{call_id}", one),
            web.get("/v1/calls/{call_id}/timeline", timeline),
            web.get("/v1/calls/{call_id}/events", events),
        ]
    )
