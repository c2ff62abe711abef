"""The whole way over real HTTP on loopback: store, deliverer, client, and receivers that behave badly (fault 15)."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from agent.config import WebhookEndpoint
from agent.events.http import HttpClient
from agent.events.ssrf import Guard
from agent.events.webhooks import WebhookDeliverer
from agent.store.sqlite import SqliteStore
from telephony.clock import MonotonicClock
from tests.unit.agent.events.test_signing import OLD
from tests.unit.agent.store.contract import ENDED, event, record
from tests.unit.agent.store.flaky import NoLog


async def resets(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def floods(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(1000):
        await response.write(b"x" * 65536)
    return response


async def redirects(request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "http://169.254.169.254/"})


async def test_bad_receivers_cost_a_good_one_nothing() -> None:
    got: list[tuple[str, int]] = []
    waited: list[float] = []
    slow = 0

    async def good(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        message = Webhook(OLD).verify(body, dict(request.headers))
        got.append((message["data"]["call_id"], message["data"]["seq"]))
        if "sent_at" in message["data"]:
            waited.append(time.time() - message["data"]["sent_at"])
        return web.Response(status=204)

    async def silent(request: web.Request) -> web.StreamResponse:
        nonlocal slow
        slow += 1
        await asyncio.sleep(30)
        return web.Response()

    handlers = {"good": good, "silent": silent, "resets": resets, "floods": floods, "redirects": redirects}
    app = web.Application()
    for name, handler in handlers.items():
        app.router.add_post(f"/{name}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"

    store = SqliteStore(":memory:")
    await store.open()
    async with HttpClient(Guard(allow_http=True, networks=["127.0.0.0/8"])) as http:
        deliverer = WebhookDeliverer(
            store,
            [WebhookEndpoint(name=name, url=f"{base}/{name}", secret=OLD) for name in handlers],
            http=http,
            worker="w",
            wall=time.time,
            clock=MonotonicClock(),
            rng=Random(1),
            log=NoLog(),
        )
        task = asyncio.ensure_future(deliverer.run())
        await asyncio.sleep(0.05)
        for n in range(20):
            now = time.time()
            await store.create_call(record(f"c{n}"), [event("call.started", sent_at=now)], lease_s=9, now=now)
            await store.update_call(f"c{n}", 1, {}, [event(sent_at=now)], now=now)
            await store.end_call(f"c{n}", 1, result="success", reason="x", data={}, event=ENDED, now=now)
            deliverer.poke()
        async with asyncio.timeout(10):
            while len(got) < 60:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
    tried: dict[str, list[dict[str, Any]]] = {name: [] for name in handlers}
    for n in range(20):
        assert [seq for call_id, seq in got if call_id == f"c{n}"] == [1, 2, 3]
        for one in await store.attempts(f"c{n}"):
            tried[one["endpoint"]].append(one)
    assert sorted(waited)[-2] < 2.0
    assert slow <= 8
    assert tried["silent"] == []
    assert {one["status"] for one in tried["floods"]} <= {200}
    assert {one["error"] for one in tried["redirects"]} == {"status 302"}
    assert {one["status"] for one in tried["resets"]} == {None}
    await store.close()
    await runner.cleanup()
