"""Tokens, who gets one, what the front passes on, and the page's files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from agent.api.local import is_this_machine
from agent.api.talk import add_talk_routes
from agent.api.webrtc import add_webrtc_routes
from agent.config import Config, WebRtcConfig
from agent.webrtc import INSTALL, edge_options, settled
from telephony.webrtc.door_names import SOURCE_HEADER


class FakeDesk:
    def __init__(self, port: int = 0, why_not: str = "") -> None:
        self.port, self.why_not = port, why_not

    def token(self) -> dict[str, Any]:
        return {"token": "t", "expires_at": 1, "ice_servers": []}


def _admit(request: web.Request) -> None:
    if not is_this_machine(request):
        raise web.HTTPForbidden


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def front(desk: FakeDesk) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    app = web.Application()
    add_webrtc_routes(app, desk, admit=_admit)
    add_talk_routes(app)
    async with served(app) as url, aiohttp.ClientSession() as http:
        yield http, url


async def test_this_machine_gets_a_token() -> None:
    async with front(FakeDesk()) as (http, url), http.get(f"{url}/v1/webrtc/token") as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert (await answer.json())["token"] == "t"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"X-Forwarded-For": "192.0.2.1"},
        {"Forwarded": "for=192.0.2.1"},
    ],
)
async def test_nobody_else_gets_one(headers: dict[str, str]) -> None:
    async with front(FakeDesk()) as (http, url), http.get(f"{url}/v1/webrtc/token", headers=headers) as answer:
        assert answer.status == 403


async def test_without_the_extra_the_answer_says_what_to_install() -> None:
    async with front(FakeDesk(why_not=f"not installed: {INSTALL}")) as (http, url):
        for method, path in (("GET", "token"), ("POST", "offer"), ("POST", "whip")):
            async with http.request(method, f"{url}/v1/webrtc/{path}") as answer:
                body = await answer.json()
                assert (answer.status, body["rule"]) == (503, "no-webrtc")
                assert INSTALL in body["detail"]


async def test_requests_are_passed_on_and_answers_come_back() -> None:
    seen: list[web.Request] = []

    async def door(request: web.Request) -> web.Response:
        seen.append(request)
        await request.read()
        headers = {"Location": "/v1/webrtc/whip/x", "ETag": '"e"', "Set-Cookie": "no=1"}
        return web.Response(status=201, text="answer", content_type="application/sdp", headers=headers)

    behind = web.Application()
    behind.router.add_route("*", "/{path:.*}", door)
    async with served(behind) as there, front(FakeDesk(int(there.rpartition(":")[2]))) as (http, url):
        headers = {
            "Content-Type": "application/sdp",
            "Authorization": "Bearer x",
            "Cookie": "a=1",
            SOURCE_HEADER: "liar",
        }
        async with http.post(f"{url}/v1/webrtc/whip", data="offer", headers=headers) as answer:
            assert (answer.status, await answer.text()) == (201, "answer")
            assert answer.headers["Location"] == "/v1/webrtc/whip/x"
            assert "Set-Cookie" not in answer.headers
        (request,) = seen
        assert request.headers["Authorization"] == "Bearer x"
        assert request.headers[SOURCE_HEADER] == "127.0.0.1"
        assert "Cookie" not in request.headers
        async with http.post(f"{url}/v1/webrtc/offer", data="x" * 40_000) as answer:
            assert answer.status == 413
        async with http.delete(f"{url}/v1/webrtc/whip/../../metrics") as answer:
            assert answer.status in (404, 405)


async def test_an_offer_that_comes_in_pieces_is_passed_on_whole() -> None:
    seen: list[bytes] = []

    async def door(request: web.Request) -> web.Response:
        seen.append(await request.read())
        return web.Response(status=201)

    behind = web.Application()
    behind.router.add_route("*", "/{path:.*}", door)

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"v=0", b"\r\no=-", b"\r\ns=-"):
            yield piece
            await asyncio.sleep(0.05)

    async with (
        served(behind) as there,
        front(FakeDesk(int(there.rpartition(":")[2]))) as (http, url),
        http.post(f"{url}/v1/webrtc/whip", data=pieces()) as answer,
    ):
        assert answer.status == 201
    assert seen == [b"v=0\r\no=-\r\ns=-"]


async def test_an_offer_that_stalls_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.api.webrtc.BODY_S", 0.1)

    async def stalls() -> AsyncIterator[bytes]:
        yield b"v=0"
        await asyncio.sleep(0.5)

    async with front(FakeDesk()) as (http, url), http.post(f"{url}/v1/webrtc/offer", data=stalls()) as answer:
        assert (answer.status, (await answer.json())["rule"]) == (408, "too-slow")


async def test_a_door_that_is_gone_is_told() -> None:
    async with front(FakeDesk(port=1)) as (http, url), http.post(f"{url}/v1/webrtc/offer", data="{}") as answer:
        assert answer.status == 503


async def test_the_page_and_its_files_are_served_once_and_for_all() -> None:
    async with front(FakeDesk()) as (http, url):
        for path, kind in (("/", "text/html"), ("/talk/talk.js", "text/javascript"), ("/talk/talk.css", "text/css")):
            async with http.get(url + path) as answer:
                assert (answer.status, answer.content_type) == (200, kind)
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
                tag = answer.headers["ETag"]
            async with http.get(url + path, headers={"If-None-Match": tag}) as answer:
                assert answer.status == 304


def test_auto_follows_what_is_installed() -> None:
    assert settled(Config(), installed=lambda: True).webrtc.enabled == "on"
    assert settled(Config(), installed=lambda: False).webrtc.enabled == "off"
    off = Config(webrtc=WebRtcConfig(enabled="off"))
    assert settled(off, installed=lambda: True).webrtc.enabled == "off"


def test_front_and_edge_share_a_secret_and_the_servers() -> None:
    config = settled(
        Config(webrtc=WebRtcConfig(stun=("stun:s",), turn=("turn:t",), turn_username="u", turn_password="p"))
    )
    door = edge_options(config, "/run")["doors"]["webrtc"]
    assert door["secret"] == config.webrtc.secret
    assert len(door["secret"]) == 64
    assert [server["url"] for server in door["servers"]] == ["stun:s", "turn:t"]
    assert door["servers"][1]["credential"] == "p"
