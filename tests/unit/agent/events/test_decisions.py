"""Questions to a customer's server over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from agent.errors import ToolFailed
from agent.events.decision_rules import parse_decision
from agent.events.decisions import DecisionClient
from agent.events.errors import WebhookFailed
from agent.events.http import ANSWER_LIMIT, HttpClient
from agent.events.signing import Signer
from agent.events.ssrf import Guard
from agent.ports import Decision
from telephony.clock import MonotonicClock
from telephony.events import Direction, LegInfo
from tests.unit.agent.events.test_signing import OLD
from tests.unit.agent.events.test_ssrf import FakeResolver
from tests.unit.agent.store.flaky import NoLog

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LEG = LegInfo(
    leg_id="l1",
    transport="sip",
    direction=Direction.INBOUND,
    from_uri="sip:anna@example.org",
    to_uri="sip:agent@example.org",
    source="127.0.0.1:5060",
    headers=(("X-Queue", "vip"),),
)


@dataclass
class Backend:
    """One HTTP server; ``handler`` may be changed between requests."""

    url: str = ""
    handler: Handler | None = None
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((dict(request.headers), await request.read()))
        self.connections.add(id(request.transport))
        assert self.handler is not None
        return await self.handler(request)

    def says(self, answer: Any, status: int = 200) -> None:
        async def handler(request: web.Request) -> web.StreamResponse:
            return web.Response(
                body=answer if isinstance(answer, bytes) else json.dumps(answer).encode(), status=status
            )

        self.handler = handler


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    backend = Backend()
    app = web.Application()
    app.router.add_post("/{tail:.*}", backend.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    backend.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield backend
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with HttpClient(Guard(allow_http=True, networks=["127.0.0.0/8"])) as client:
        yield client


def client(http: HttpClient, url: str, **options: Any) -> DecisionClient:
    return DecisionClient(
        http,
        signer=Signer([OLD]),
        wall=time.time,
        clock=MonotonicClock(),
        log=NoLog(),
        **{"decision_url": url, "tool_url": url, "decision_budget_s": 0.3, "tool_budget_s": 0.3, **options},
    )


async def test_a_call_is_asked_for_signed_and_the_answer_is_taken(http: HttpClient, backend: Backend) -> None:
    backend.says({"action": "accept", "agent": "parcel", "variables": {"vip": True}, "record": False, "later": 1})
    decision = await client(http, backend.url).incoming("c1", LEG)
    assert decision == Decision(action="accept", agent="parcel", variables={"vip": True}, record=False)
    headers, body = backend.requests[0]
    message = Webhook(OLD).verify(body, headers)
    assert message["type"] == "call.incoming"
    assert message["timestamp"].endswith("Z")
    assert message["data"] == {
        "call_id": "c1",
        "from": "sip:anna@example.org",
        "to": "sip:agent@example.org",
        "transport": "sip",
        "headers": {"X-Queue": "vip"},
    }
    assert headers["User-Agent"] == "crosstalk-webhooks/1"
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "answer",
    [
        b"not json",
        b"[]",
        b"\xff",
        b"[" * 50_000,
        {},
        {"action": "maybe"},
        {"action": ["accept"]},
        {"action": "accept", "agent": 5},
        {"action": "accept", "variables": []},
        {"action": "accept", "record": "yes"},
        b" " * (ANSWER_LIMIT + 1) + b'{"action":"accept"}',
    ],
)
async def test_an_answer_that_cannot_be_used_is_the_fallback(http: HttpClient, backend: Backend, answer: Any) -> None:
    backend.says(answer)
    decision = await client(http, backend.url, fallback="busy").incoming("c1", LEG)
    assert decision == Decision(action="busy", fallback=True)


@pytest.mark.parametrize("status", [301, 302, 400, 500, 503])
async def test_a_status_that_is_no_success_is_the_fallback_and_redirects_are_not_followed(
    http: HttpClient, backend: Backend, status: int
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        headers = {"Location": "http://169.254.169.254/"} if status < 400 else {}
        return web.Response(status=status, headers=headers, text='{"action":"reject"}')

    backend.handler = handler
    assert await client(http, backend.url).incoming("c1", LEG) == Decision(action="accept", fallback=True)
    assert len(backend.requests) == 1


async def test_a_server_that_does_not_answer_costs_the_budget_only(http: HttpClient, backend: Backend) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    backend.handler = handler
    began = time.monotonic()
    assert (await client(http, backend.url, fallback="reject").incoming("c1", LEG)).action == "reject"
    assert time.monotonic() - began == pytest.approx(0.3, abs=0.1)


async def test_a_server_that_is_not_there_is_the_fallback_within_the_budget(http: HttpClient) -> None:
    decision = await client(http, "http://127.0.0.1:1/").incoming("c1", LEG)
    assert decision.fallback
    assert (await client(http, "http://10.0.0.1/").incoming("c1", LEG)).fallback
    assert (await client(http, "nonsense").incoming("c1", LEG)).fallback


async def test_without_a_url_every_call_is_accepted(http: HttpClient) -> None:
    assert await client(http, "").incoming("c1", LEG) == Decision()


def test_no_budget_for_an_incoming_call_is_longer_than_four_seconds(  # a caller hears nothing meanwhile
) -> None:
    asked = client(HttpClient(Guard()), "", decision_budget_s=30.0)
    assert asked._decision_budget_s == 4.0


def test_a_fallback_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="fallback must be one of accept, reject, busy"):
        client(HttpClient(Guard()), "", fallback="ring")


def test_null_fields_of_a_decision_are_as_good_as_absent_ones() -> None:
    answer = b'{"action":"reject","agent":null,"variables":null,"record":null}'
    assert parse_decision(answer) == Decision(action="reject")


async def test_a_tool_gets_its_arguments_and_an_idempotency_key(http: HttpClient, backend: Backend) -> None:
    backend.says({"result": {"status": "in transit"}})
    result = await client(http, backend.url).tool("c1", "track", {"number": "12345678"}, "r1")
    assert result == {"status": "in transit"}
    headers, body = backend.requests[0]
    assert headers["Idempotency-Key"] == "c1:r1"
    data = Webhook(OLD).verify(body, headers)["data"]
    assert data == {"call_id": "c1", "name": "track", "arguments": {"number": "12345678"}, "request_id": "r1"}


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        ({"error": "no such parcel"}, 200, "track: no such parcel"),
        ({"error": "no such parcel"}, 404, "track: no such parcel"),
        (b"oops", 500, "track: status 500"),
        ({"result": 1}, 500, "track: status 500"),
        ({}, 200, "neither result nor error"),
        (b"oops", 200, "not JSON"),
        (b" " * (ANSWER_LIMIT + 1), 200, "longer than 64 kB"),
    ],
)
async def test_a_tool_that_fails_says_why(
    http: HttpClient, backend: Backend, answer: Any, status: int, reason: str
) -> None:
    backend.says(answer, status)
    with pytest.raises(ToolFailed, match=reason):
        await client(http, backend.url).tool("c1", "track", {}, "r1")
    assert len(backend.requests) == 1


async def test_a_tool_is_asked_again_only_when_the_connection_failed(http: HttpClient, backend: Backend) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if len(backend.requests) == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"result": 7})

    backend.handler = handler
    assert await client(http, backend.url, tool_budget_s=2.0).tool("c1", "track", {}, "r1") == 7
    assert len(backend.requests) == 2
    ids = {(headers["webhook-id"], headers["Idempotency-Key"]) for headers, _ in backend.requests}
    assert len(ids) == 1


async def test_a_slow_tool_fails_at_its_own_budget(http: HttpClient, backend: Backend) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    backend.handler = handler
    asked = client(http, backend.url, tool_budget_s=9.0, tool_budgets_s={"track": 0.2})
    with pytest.raises(ToolFailed, match=r"track: no answer within 0\.2"):
        await asked.tool("c1", "track", {}, "r1")
    with pytest.raises(ToolFailed, match="tool_url"):
        await client(http, "").tool("c1", "track", {}, "r1")


async def test_connections_are_kept_alive(http: HttpClient, backend: Backend) -> None:
    backend.says({"result": 1})
    asked = client(http, backend.url)
    for n in range(5):
        await asked.tool("c1", "track", {}, f"r{n}")
    assert len(backend.connections) == 1


async def test_a_name_that_resolves_inside_is_refused_when_connecting() -> None:
    guard = Guard(allow_http=True)
    async with HttpClient(guard, resolver=FakeResolver(["93.184.216.34", "127.0.0.1"])) as http:
        with pytest.raises(WebhookFailed, match="not public") as told:
            await http.post("http://rebind.example/", b"{}", {}, timeout_s=1.0)
        assert told.value.kind == "refused"
    with pytest.raises(WebhookFailed, match="not open"):
        await http.post("http://rebind.example/", b"{}", {}, timeout_s=1.0)


async def test_proxies_of_the_environment_are_not_used(
    http: HttpClient, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    backend.says({"result": 1})
    assert await client(http, backend.url).tool("c1", "track", {}, "r1") == 1
