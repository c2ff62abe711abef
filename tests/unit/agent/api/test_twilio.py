"""Twilio's webhooks: signed for the public URL or refused; TwiML for every case."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from aiohttp import FormData, web
from aiohttp.test_utils import TestClient, TestServer

from agent.api.twilio import TwilioCalls, TwilioWebhooks, address
from agent.config import TwilioConfig
from agent.events.names import LogEvent
from telephony.errors import RemoteProtocolError
from telephony.twilio.signature import HEADER, sign
from telephony.twilio.token import PARAMETER, TokenGate

PUBLIC, AUTH, KEY, NOW = "https://agent.example.com", "secret", "k" * 32, 1_000_000.0
CALL = "CA" + "1" * 32
CONFIG = TwilioConfig(
    public_url=PUBLIC,
    stream_url="wss://agent.example.com/twilio/stream",
    auth_token=AUTH,
    token_key=KEY,
    account_sid="AC1",
)
FORM = {"CallSid": CALL, "AccountSid": "AC1", "From": "+15551234567", "To": "+15557654321", "CallerName": "J & J"}


class World:
    """The webhooks on a server, with a store and a log of dictionaries."""

    def __init__(self, config: TwilioConfig = CONFIG) -> None:
        self.records: dict[str, Any] = {}
        self.logged: list[tuple[str, dict[str, Any]]] = []
        self.takes = True
        store: Any = SimpleNamespace(get_call=self._get)
        log: Any = SimpleNamespace(info=self._note, warning=self._note)
        self.calls = TwilioCalls(store)
        hooks = TwilioWebhooks(config, self.calls, may_take=lambda: self.takes, log=log, wall=lambda: NOW)
        app = web.Application()
        app.add_routes(hooks.routes())
        self.client: TestClient[Any, Any] = TestClient(TestServer(app))

    async def _get(self, call_id: str) -> Any:
        return self.records.get(call_id)

    def _note(self, event: str, **fields: Any) -> None:
        self.logged.append((event, fields))

    async def post(self, path: str, form: dict[str, str], *, signature: str | None = None) -> tuple[int, str]:
        given = sign(AUTH, PUBLIC + path, form.items()) if signature is None else signature
        async with self.client.post(path, data=form, headers={HEADER: given}) as answer:
            return answer.status, await answer.text()

    async def stream(self, call_sid: str, leg_id: str, result: str) -> None:
        """A stream that was offered and is over."""
        leg: Any = SimpleNamespace(info=SimpleNamespace(transport="twilio", signalling_id=call_sid, leg_id=leg_id))

        async def offered(_: Any) -> None:
            self.records[leg_id] = SimpleNamespace(result=result)

        await self.calls.around(offered)(leg)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    async with made.client:
        yield made


async def test_a_call_gets_a_stream_with_a_token_for_it_alone(world: World) -> None:
    status, text = await world.post("/twilio/voice", FORM)
    assert status == 200
    connect = ET.fromstring(text).find("Connect")
    assert connect is not None
    assert connect.get("action") == PUBLIC + "/twilio/after"
    stream = connect.find("Stream")
    assert stream is not None
    assert stream.get("url") == CONFIG.stream_url
    told = {item.get("name"): item.get("value") for item in stream.findall("Parameter")}
    token = told.pop(PARAMETER)
    assert told == {
        "crosstalkFrom": "tel:+15551234567",
        "crosstalkTo": "tel:+15557654321",
        "CallerName": "J & J",
    }
    assert token is not None
    with pytest.raises(RemoteProtocolError):
        TokenGate(KEY).admit(token, "CA" + "2" * 32, now=NOW)
    TokenGate(KEY).admit(token, CALL, now=NOW)


@pytest.mark.parametrize(
    ("form", "signature", "status", "rule"),
    [
        (FORM, "wrong", 403, "webhook-signature"),
        (FORM, "", 403, "webhook-signature"),
        ({**FORM, "CallSid": "x"}, None, 400, "webhook-field"),
        ({**FORM, "AccountSid": "AC2"}, None, 403, "webhook-account"),
        ({**FORM, "Junk": "x" * 70_000}, None, 413, "webhook-size"),
    ],
)
async def test_what_is_not_twilio_is_refused_by_rule(
    world: World, form: dict[str, str], signature: str | None, status: int, rule: str
) -> None:
    for path in ("/twilio/voice", "/twilio/after", "/twilio/dialled", "/twilio/status"):
        found, text = await world.post(path, form, signature=signature)
        assert (found, text.strip()) == (status, rule)
    assert {event for event, _ in world.logged} == {LogEvent.STREAM_REFUSED}
    assert {fields["rule"] for _, fields in world.logged} == {rule}


async def test_a_signature_for_the_hosts_own_name_is_none(world: World) -> None:
    host = str(world.client.make_url("")).rstrip("/")
    status, _ = await world.post("/twilio/voice", FORM, signature=sign(AUTH, host + "/twilio/voice", FORM.items()))
    assert status == 403


async def test_a_body_that_is_no_form_is_refused(world: World) -> None:
    data = FormData(quote_fields=False)
    data.add_field("a", b"x", filename="f")
    async with world.client.post("/twilio/voice", data=data, headers={HEADER: "x"}) as answer:
        assert answer.status == 403
    headers = {HEADER: "x", "Content-Type": "multipart/form-data"}
    async with world.client.post("/twilio/voice", data=b"junk", headers=headers) as answer:
        assert answer.status in (400, 403)
    headers["Content-Type"] = "application/x-www-form-urlencoded; charset=klingon"
    async with world.client.post("/twilio/voice", data=b"junk", headers=headers) as answer:
        assert answer.status == 400
    assert world.logged[-1][1]["rule"] == "webhook-form"


async def test_a_form_that_stalls_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.api.twilio.FORM_S", 0.1)

    async def stalls() -> AsyncIterator[bytes]:
        yield b"CallSid="
        await asyncio.sleep(0.5)

    headers = {HEADER: "x", "Content-Type": "application/x-www-form-urlencoded"}
    async with world.client.post("/twilio/voice", data=stalls(), headers=headers) as answer:
        assert (answer.status, (await answer.text()).strip()) == (408, "webhook-slow")


async def test_a_gateway_that_drains_says_busy_or_hands_on(world: World) -> None:
    world.takes = False
    assert 'Reject reason="busy"' in (await world.post("/twilio/voice", FORM))[1]
    for fallback, expected in (
        ("https://gw2.example.com/twilio/voice", '<Redirect method="POST">https://gw2.example.com/twilio/voice'),
        ("+15550000001", "<Number>+15550000001</Number>"),
        ("sip:desk@pbx.example", "<Sip>sip:desk@pbx.example</Sip>"),
    ):
        other = World(TwilioConfig(public_url=PUBLIC, auth_token=AUTH, token_key=KEY, fallback=fallback))
        other.takes = False
        async with other.client:
            assert expected in (await other.post("/twilio/voice", FORM))[1]
        assert other.logged[0][0] == LogEvent.TWILIO_FALLBACK


async def test_after_a_stream_that_ended_well_the_call_ends(world: World) -> None:
    await world.stream(CALL, "leg1", "success")
    assert "<Hangup" in (await world.post("/twilio/after", FORM))[1]
    assert not world.logged


async def test_a_call_that_was_lost_goes_to_the_fallback() -> None:
    world = World(TwilioConfig(public_url=PUBLIC, auth_token=AUTH, token_key=KEY, fallback="+15550000001"))
    async with world.client:
        await world.stream(CALL, "leg1", "server_error")
        assert "+15550000001" in (await world.post("/twilio/after", FORM))[1]
        assert "+15550000001" in (await world.post("/twilio/after", {**FORM, "CallSid": "CA" + "2" * 32}))[1]


async def test_after_waits_for_the_session_to_write_its_end(world: World) -> None:
    leg: Any = SimpleNamespace(info=SimpleNamespace(transport="twilio", signalling_id=CALL, leg_id="leg1"))
    go_on = asyncio.Event()

    async def offered(_: Any) -> None:
        await go_on.wait()
        world.records["leg1"] = SimpleNamespace(result="success")

    running = asyncio.ensure_future(world.calls.around(offered)(leg))
    asking = asyncio.ensure_future(world.post("/twilio/after", FORM))
    await asyncio.sleep(0.05)
    assert not asking.done()
    go_on.set()
    await running
    assert "<Hangup" in (await asking)[1]


async def test_a_transfer_that_nobody_answered_comes_back(world: World) -> None:
    assert "<Hangup" in (await world.post("/twilio/dialled", {**FORM, "DialCallStatus": "completed"}))[1]
    assert "<Stream" in (await world.post("/twilio/dialled", {**FORM, "DialCallStatus": "no-answer"}))[1]


async def test_news_go_to_the_log_without_numbers(world: World) -> None:
    status, _ = await world.post("/twilio/status", {**FORM, "StreamEvent": "stream-error", "StreamError": "31921"})
    assert status == 204
    event, fields = world.logged[0]
    assert event == LogEvent.TWILIO_STATUS
    assert fields == {"signalling_id": CALL, "stream": "stream-error", "error": "31921"}


def test_numbers_become_addresses() -> None:
    assert address("+15551234567") == "tel:+15551234567"
    assert address("sip:a@b.example") == "sip:a@b.example"
    assert not re.search(r"tel", address("client:alice"))
