"""``/v1/webrtc``: tokens, and the door's own endpoints passed on to its process, so that a page needs one origin."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import aiohttp
from aiohttp import web
from yarl import URL

from telephony.webrtc.door_names import SOURCE_HEADER
from telephony.webrtc.sdp import MAX_OFFER_BYTES

BODY_S = 5.0
"""For a request's body."""
PASS_S = 15.0
"""An offer waits for ``call.incoming``, at most."""
_TO_DOOR = ("Content-Type", "Authorization", "If-Match")
_FROM_DOOR = ("Content-Type", "Location", "ETag", "Link", "Retry-After", "WWW-Authenticate", "Accept-Post")

Admit = Callable[[web.Request], None]
"""Raises an HTTP error for a request that may have no token."""


class Desk(Protocol):
    """What the routes need of ``agent.webrtc.WebRtc``."""

    @property
    def why_not(self) -> str: ...

    @property
    def port(self) -> int: ...

    def token(self) -> dict[str, Any]: ...


def add_webrtc_routes(app: web.Application, desk: Desk, *, admit: Admit) -> None:
    """``GET /v1/webrtc/token`` and everything else under ``/v1/webrtc``."""
    passing = _Passing(desk)

    async def token(request: web.Request) -> web.Response:
        admit(request)
        if desk.why_not:
            return _unavailable(desk.why_not)
        return web.json_response(desk.token(), headers={"Cache-Control": "no-store"})

    app.cleanup_ctx.append(passing.opened)
    app.add_routes(
        [
            web.get("/v1/webrtc/token", token),
            web.post("/v1/webrtc/offer", passing.on),
            web.post("/v1/webrtc/whip", passing.on),
            web.options("/v1/webrtc/whip", passing.on),
            web.patch("/v1/webrtc/whip/{session:[0-9a-f]{32}}", passing.on),
            web.delete("/v1/webrtc/whip/{session:[0-9a-f]{32}}", passing.on),
        ]
    )


class _Passing:
    """Requests to the door's process and its answers back, unread."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._http: aiohttp.ClientSession

    async def opened(self, _app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PASS_S)) as self._http:
            yield

    async def on(self, request: web.Request) -> web.Response:
        if self._desk.why_not:
            return _unavailable(self._desk.why_not)
        if (request.content_length or 0) > MAX_OFFER_BYTES:
            return _problem(413, "too-large", f"more than {MAX_OFFER_BYTES} bytes")
        try:
            async with asyncio.timeout(BODY_S):
                body = await _body(request)
        except TimeoutError:
            return _problem(408, "too-slow", f"the body did not come within {BODY_S:.0f} s")
        headers = {name: request.headers[name] for name in _TO_DOOR if name in request.headers}
        headers[SOURCE_HEADER] = request.remote or ""
        url = URL.build(scheme="http", host="127.0.0.1", port=self._desk.port, path=request.path)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.request(request.method, url, data=body, headers=headers) as answer:
                passed = web.Response(status=answer.status, body=await answer.read())
                for name in _FROM_DOOR:
                    for value in answer.headers.getall(name, ()):
                        passed.headers.add(name, value)
                return passed
        return _unavailable("the WebRTC process does not answer")


async def _body(request: web.Request) -> bytes:
    """All of it, in however many pieces it comes, up to what the door will refuse as too large."""
    body = b""
    while len(body) <= MAX_OFFER_BYTES and (piece := await request.content.read(MAX_OFFER_BYTES + 1 - len(body))):
        body += piece
    return body


def _unavailable(why: str) -> web.Response:
    return _problem(503, "no-webrtc", why)


def _problem(status: int, rule: str, detail: str) -> web.Response:
    return web.json_response(
        {"type": "about:blank", "title": rule, "status": status, "detail": detail, "rule": rule},
        status=status,
        content_type="application/problem+json",
        headers={"Cache-Control": "no-store"},
    )
