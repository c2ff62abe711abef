"""Twilio's REST API as its documents have it, as far as calls go: for tests."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

ACCOUNT = "AC" + "0" * 32


@dataclass
class RestDouble:
    """``calls`` are those that run; what is asked of others is answered by 20404."""

    calls: set[str] = field(default_factory=set)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    users: set[str] = field(default_factory=set)
    on_create: Callable[[str, dict[str, str]], None] = lambda sid, fields: None
    on_update: Callable[[str, dict[str, str]], None] = lambda sid, fields: None
    fail: tuple[int, int] | None = None
    """HTTP status and code of the next answers."""
    url: str = ""

    async def create(self, request: web.Request) -> web.Response:
        fields = await self._note(request)
        if self.fail:
            return self._error(*self.fail)
        sid = "CA" + f"{len(self.asked):032x}"
        self.calls.add(sid)
        self.on_create(sid, fields)
        return web.json_response({"sid": sid, "status": "queued", "to": fields.get("To")}, status=201)

    async def update(self, request: web.Request) -> web.Response:
        fields, sid = await self._note(request), request.match_info["sid"]
        if self.fail:
            return self._error(*self.fail)
        if sid not in self.calls:
            return self._error(404, 20404)
        if fields.get("Status") == "completed":
            self.calls.discard(sid)
        self.on_update(sid, fields)
        return web.json_response({"sid": sid, "status": "in-progress"})

    async def _note(self, request: web.Request) -> dict[str, str]:
        fields = {name: str(value) for name, value in (await request.post()).items()}
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        assert scheme == "Basic"
        self.users.add(base64.b64decode(credentials).decode())
        self.asked.append((request.path, fields))
        return fields

    def _error(self, status: int, code: int) -> web.Response:
        body = {
            "code": code,
            "message": "no",
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": status,
        }
        return web.json_response(body, status=status)


@asynccontextmanager
async def rest_double() -> AsyncIterator[RestDouble]:
    double = RestDouble()
    app = web.Application()
    root = f"/2010-04-01/Accounts/{ACCOUNT}"
    app.add_routes([web.post(f"{root}/Calls.json", double.create), web.post(root + "/Calls/{sid}.json", double.update)])
    server: Any
    async with TestServer(app) as server:
        double.url = str(server.make_url("")).rstrip("/")
        yield double
