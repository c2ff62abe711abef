"""The example's back end over real HTTP on the loopback, signed as Crosstalk signs."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook

from agent.brain.examples import example_path
from agent.brain.protocol import Tool
from tests.unit.agent.brain.talk import Reply, parcel

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WEDNESDAY = dt.date(2026, 11, 25)


def load_backend() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parcel_backend", example_path("parcel") / "backend.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Client:
    def __init__(self, session: ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def post(self, body: Any, *, webhook_id: str, secret: str = SECRET, age_s: int = 0) -> tuple[int, Any]:
        raw = body if isinstance(body, str) else json.dumps(body)
        at = dt.datetime.now(tz=dt.UTC) - dt.timedelta(seconds=age_s)
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(secret).sign(webhook_id, at, raw),
        }
        return await self.post_raw(raw, headers)

    async def post_raw(self, raw: str, headers: dict[str, str]) -> tuple[int, Any]:
        async with self._session.post(f"{self._url}/webhooks", data=raw.encode(), headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def get(self, path: str) -> Any:
        async with self._session.get(f"{self._url}{path}") as response:
            return await response.json()

    async def tool(self, name: str, arguments: dict[str, Any], *, request_id: str, webhook_id: str = "") -> Any:
        data = {"call_id": "c1", "name": name, "arguments": arguments, "request_id": request_id}
        status, answer = await self.post(event("tool.call", data), webhook_id=webhook_id or f"msg_{request_id}")
        assert status == 200
        return answer


def event(name: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": name, "timestamp": "2026-11-25T10:00:00Z", "data": data}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    module = load_backend()
    store = module.ParcelStore(str(tmp_path / "parcel.db"), today=lambda: WEDNESDAY)
    async with TestServer(module.Backend(store, SECRET).app()) as server, ClientSession() as session:
        yield Client(session, str(server.make_url("")).rstrip("/"))
    store.close()


INCOMING = {"call_id": "c1", "from": "sip:alice@example.com", "to": "sip:100@x", "transport": "sip", "headers": {}}


async def test_an_incoming_call_is_accepted_with_the_date_of_the_company(client: Client) -> None:
    status, answer = await client.post(event("call.incoming", INCOMING), webhook_id="m1")
    assert status == 200
    assert answer == {"action": "accept", "agent": "parcel", "variables": {"today": "2026-11-25"}}


async def test_a_blocked_caller_is_rejected(client: Client) -> None:
    call = {**INCOMING, "from": "sip:blocked@example.com"}
    assert (await client.post(event("call.incoming", call), webhook_id="m1"))[1] == {"action": "reject"}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"secret": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, 401),
        ({"age_s": 600}, 401),
        ({"age_s": -600}, 401),
        ({}, 204),
    ],
)
async def test_only_a_right_and_fresh_signature_is_listened_to(
    client: Client, change: dict[str, Any], status: int
) -> None:
    told = event("call.started", {"call_id": "c1", "seq": 1})
    assert (await client.post(told, webhook_id="m1", **change))[0] == status
    assert len(await client.get("/events")) == (status == 204)


@pytest.mark.parametrize(
    "signature", ["", "v1", "v1,", "v1,!!!", "v2,abc", "a,b,c", "v1,\u00e9".encode().decode("latin-1")]
)
async def test_a_malformed_signature_is_refused(client: Client, signature: str) -> None:
    headers = {"webhook-id": "m1", "webhook-timestamp": "1", "webhook-signature": signature}
    assert (await client.post_raw("{}", headers))[0] == 401
    headers["webhook-timestamp"] = str(int(dt.datetime.now(tz=dt.UTC).timestamp()))
    assert (await client.post_raw("{}", headers))[0] == 401


@pytest.mark.parametrize(
    "raw", ["", "[]", "{}", "no json", '{"type": 1, "data": {}}', '{"type": "call.turn", "data": []}']
)
async def test_a_body_that_is_no_webhook_is_refused(client: Client, raw: str) -> None:
    assert (await client.post(raw, webhook_id="m1"))[0] == 400


async def test_events_are_stored_once_and_listed_in_the_order_of_their_call(client: Client) -> None:
    for webhook_id, call_id, seq in [
        ("m3", "c1", 3),
        ("m1", "c1", 1),
        ("m9", "c2", 1),
        ("m1", "c1", 1),
        ("m2", "c1", 2),
    ]:
        told = event("call.turn", {"call_id": call_id, "seq": seq})
        assert await client.post(told, webhook_id=webhook_id) == (204, None)
    assert [one["seq"] for one in await client.get("/events?call_id=c1")] == [1, 2, 3]
    assert len(await client.get("/events")) == 4


@pytest.mark.parametrize(
    ("number", "result"),
    [
        ("12345678", {"status": "delivered", "day": "2026-11-23", "place": "with your neighbour"}),
        ("12345679", {"status": "in_transit", "day": "2026-11-27"}),
        ("99999999", {"found": False}),
    ],
)
async def test_the_status_of_a_parcel(client: Client, number: str, result: dict[str, Any]) -> None:
    answer = await client.tool("parcel_status", {"number": number}, request_id="r1")
    assert result.items() <= answer["result"].items()


@pytest.mark.parametrize(
    ("number", "day", "result"),
    [
        ("12345679", "2026-12-01", {"ok": True, "day": "2026-12-01"}),
        ("12345679", "2026-11-29", {"ok": False, "reason": "day"}),
        ("12345679", "2026-11-25", {"ok": False, "reason": "day"}),
        ("12345678", "2026-12-01", {"ok": False, "reason": "delivered"}),
        ("99999999", "2026-12-01", {"ok": False, "reason": "not_found"}),
    ],
)
async def test_changing_the_day(client: Client, number: str, day: str, result: dict[str, Any]) -> None:
    assert await client.tool("change_delivery", {"number": number, "day": day}, request_id="r1") == {"result": result}


async def test_a_tool_call_that_comes_again_is_carried_out_once(client: Client) -> None:
    complaint = {"number": None, "text": "the box was wet"}
    first = await client.tool("file_complaint", complaint, request_id="r1")
    assert first == {"result": {"ok": True, "ticket": "4711"}}
    assert await client.tool("file_complaint", complaint, request_id="r1") == first
    assert await client.tool("file_complaint", complaint, request_id="r1", webhook_id="other") == first
    assert len(await client.get("/tickets")) == 1
    assert (await client.tool("file_complaint", complaint, request_id="r2"))["result"]["ticket"] == "4712"


@pytest.mark.parametrize(
    ("name", "arguments", "request_id", "error"),
    [
        ("fly", {}, "r1", "there is no tool 'fly'"),
        ("change_delivery", {"number": "12345679", "day": "soon"}, "r1", "Invalid isoformat"),
        ("parcel_status", [], "r1", "arguments must be an object"),
        ("parcel_status", {}, "", "request_id is missing"),
    ],
)
async def test_a_wrong_tool_call_is_answered_with_an_error(
    client: Client, name: str, arguments: Any, request_id: str, error: str
) -> None:
    answer = await client.tool(name, arguments, request_id=request_id, webhook_id="m1")
    assert error in answer["error"]


async def test_the_dialogue_and_the_back_end_understand_each_other(client: Client) -> None:
    async def carried_out(tool: Tool) -> Reply:
        answer = await client.tool(tool.name, tool.arguments, request_id=tool.request_id)
        return talk.result(tool, answer["result"])

    talk = parcel()
    talk.say("where is my parcel")
    talk.say("one two three four five six seven eight")
    talk.say("no the last one is nine")
    reply = await carried_out(talk.say("yes").tools[0])
    assert "on its way. We expect to deliver it on Friday the twenty seventh" in reply.text
    talk.say("change the delivery day")
    talk.say("next monday")
    reply = await carried_out(talk.say("yes").tools[0])
    assert "Done. Your parcel will come on Monday the thirtieth of November" in reply.text
    talk.say("I want to complain")
    talk.say("no number")
    reply = await carried_out(talk.say("your driver was very rude to my dog").tools[0])
    assert "Your ticket is four seven one one." in reply.text
    assert (await client.get("/tickets"))[0]["details"] == "your driver was very rude to my dog"
