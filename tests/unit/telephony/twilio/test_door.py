"""The door on a real socket: who is let in, what is turned away with which rule, audio both ways."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from numpy.typing import NDArray

from telephony.audio.g711 import ulaw_encode
from telephony.errors import MediaError
from telephony.events import TransferOutcome
from telephony.twilio.door import FROM, TO, TwilioDoor
from telephony.twilio.peer import TwilioPeer
from telephony.twilio.signature import HEADER, sign
from telephony.twilio.token import PARAMETER, mint

URL, KEY, AUTH = "wss://agent.example.com/twilio/stream", "k" * 32, "secret"
CALL = "CA" + "1" * 32


class FakeCall:
    """A call as the edge makes it."""

    leg_id = "leg"
    media_ms = 0

    def __init__(self) -> None:
        self.is_over = False
        self.told: list[tuple[Any, ...]] = []
        self.audio: list[NDArray[np.int16]] = []
        self.confirmed = 0

    def opened(self) -> None:
        self.told.append(("opened",))

    def hear(self, pcm: NDArray[np.int16]) -> None:
        self.audio.append(pcm)

    def key(self, digit: str, duration_ms: int = 100) -> None:
        self.told.append(("key", digit))

    def hold(self, held: bool) -> None: ...

    def append(self, channel: str, text: str) -> None: ...

    def transfer(self, outcome: TransferOutcome, status: int, reason: str) -> None:
        self.told.append(("transfer", outcome, status))

    def confirm(self, played: int) -> None:
        self.confirmed = played

    def end(self, *, by: str = "caller", status: int = 0, reason: str = "bye") -> None:
        self.is_over = True
        self.told.append(("end", by, reason))


class FakeDesk:
    """What the edge offers; answers every call at once."""

    def __init__(self) -> None:
        self.refusal: tuple[int, str] | None = None
        self.calls: list[tuple[TwilioPeer, FakeCall, dict[str, Any]]] = []
        self.refusals: list[str] = []
        self.changed = asyncio.Event()

    def offer(self, peer: Any, **facts: Any) -> FakeCall:
        if self.refusal is not None:
            raise MediaError(self.refusal[1])
        call = FakeCall()
        self.calls.append((peer, call, facts))
        self.changed.set()
        return call

    def refused(self, door: str, source: str, rule: str, why: str) -> None:
        self.refusals.append(rule)
        self.changed.set()


@asynccontextmanager
async def door(**options: Any) -> AsyncIterator[tuple[TestClient[Any, Any], FakeDesk]]:
    desk = FakeDesk()
    made = TwilioDoor(**{"stream_url": URL, "auth_token": AUTH, "token_key": KEY, **options})
    app = web.Application()
    app.add_routes(made.routes(desk))  # type: ignore[arg-type]  # a desk of fakes
    async with TestClient(TestServer(app)) as client:
        yield client, desk
    await made.close()


async def opened(client: TestClient[Any, Any], **more: Any) -> aiohttp.ClientWebSocketResponse:
    return await client.ws_connect("/twilio/stream", headers={HEADER: sign(AUTH, URL)}, **more)


def start(token: str | None = None, **parameters: str) -> str:
    token = mint(KEY, CALL, now=time.time(), nonce="0123456789abcdef") if token is None else token
    body = {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": "MZ1",
        "start": {
            "accountSid": "AC1",
            "callSid": CALL,
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {PARAMETER: token, FROM: "tel:+1555", TO: "tel:+1666", **parameters},
        },
    }
    return json.dumps(body)


def media(number: int, payload: bytes = b"\xff" * 160) -> str:
    inner = {
        "track": "inbound",
        "chunk": str(number),
        "timestamp": str(20 * number),
        "payload": base64.b64encode(payload).decode(),
    }
    return json.dumps({"event": "media", "sequenceNumber": str(number + 1), "streamSid": "MZ1", "media": inner})


CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'


async def called(socket: aiohttp.ClientWebSocketResponse, desk: FakeDesk) -> tuple[TwilioPeer, FakeCall]:
    await socket.send_str(CONNECTED)
    await socket.send_str(start(Tenant="acme", **{"x-plan": "gold"}))
    await asyncio.wait_for(desk.changed.wait(), 2)
    peer, call, _ = desk.calls[0]
    peer.answered()
    return peer, call


async def closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """Read to the end; the close code."""
    async with asyncio.timeout(3):
        async for _ in socket:
            pass
    return socket.close_code


async def test_a_call_is_offered_with_who_calls_and_the_integrators_parameters() -> None:
    async with door() as (client, desk):
        await called(await opened(client), desk)
        facts = desk.calls[0][2]
        assert (facts["from_uri"], facts["to_uri"], facts["signalling_id"]) == ("tel:+1555", "tel:+1666", CALL)
        assert facts["headers"] == (("X-Tenant", "acme"), ("x-plan", "gold"))


@pytest.mark.parametrize("signature", ["", "wrong", sign(AUTH, URL.replace("wss", "https")), sign("other", URL)])
async def test_a_wrong_signature_never_gets_a_socket(signature: str) -> None:
    async with door() as (client, desk):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect("/twilio/stream", headers={HEADER: signature, "Host": "agent.example.com"})
        assert refused.value.status == 403
        assert desk.refusals == ["stream-signature"]


async def test_a_draining_edge_says_so_before_the_socket() -> None:
    async with door() as (client, desk):
        desk.refusal = (503, "draining")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await opened(client)
        assert refused.value.status == 503


@pytest.mark.parametrize(
    ("texts", "rule", "code"),
    [
        ([CONNECTED, media(1)], "stream-order", 1008),
        ([media(1)], "stream-order", 1008),
        ([CONNECTED, "{"], "stream-json", 1008),
        ([CONNECTED, "x" * 70_000], "stream-message-size", 1009),
        ([CONNECTED, start(token="")], "stream-token", 1008),
        ([CONNECTED, start(mint("other", CALL, now=1.0, nonce="0123456789abcdef"))], "stream-token-forged", 1008),
        ([CONNECTED, start(mint(KEY, CALL, now=1.0, nonce="0123456789abcdef"))], "stream-token-expired", 1008),
    ],
)
async def test_what_breaks_a_rule_loses_its_socket(texts: list[str], rule: str, code: int) -> None:
    async with door() as (client, desk):
        socket = await opened(client)
        for text in texts:
            await socket.send_str(text)
        assert await closed(socket) == code
        assert desk.refusals == [rule]
        assert not desk.calls


async def test_a_token_opens_one_stream_only() -> None:
    async with door() as (client, desk):
        first, second = await opened(client), await opened(client)
        await called(first, desk)
        await second.send_str(CONNECTED)
        await second.send_str(start())
        assert await closed(second) == 1008
        assert desk.refusals == ["stream-token-replayed"]
        assert not desk.calls[0][1].is_over, "and the first goes on"


async def test_another_account_is_refused() -> None:
    async with door(account_sid="AC2") as (client, desk):
        socket = await opened(client)
        await socket.send_str(CONNECTED)
        await socket.send_str(start())
        await closed(socket)
        assert desk.refusals == ["stream-account"]


async def test_binary_messages_are_refused() -> None:
    async with door() as (client, desk):
        socket = await opened(client)
        await socket.send_bytes(b"\x00")
        await closed(socket)
        assert desk.refusals == ["stream-binary"]


async def test_a_flood_of_messages_that_mean_nothing_costs_the_socket() -> None:
    """Unknown events are ignored, as carriers add some; nobody adds a thousand a second."""
    async with door() as (client, desk):
        socket = await opened(client)
        with contextlib.suppress(ConnectionError):
            for _ in range(1500):
                await socket.send_str('{"event":"news"}')
        assert await closed(socket) == 1008
        assert desk.refusals == ["stream-flood"]


async def test_unordered_media_ends_the_call_too() -> None:
    async with door() as (client, desk):
        socket = await opened(client)
        _, call = await called(socket, desk)
        await socket.send_str(media(2))
        await socket.send_str(media(1))
        await closed(socket)
        assert desk.refusals == ["stream-sequence"]
        assert call.told[-1] == ("end", "network", "media_error")


async def test_audio_keys_and_the_end_reach_the_call() -> None:
    async with door() as (client, desk):
        socket = await opened(client)
        _, call = await called(socket, desk)
        tone = (8000 * np.sin(np.arange(160) / 5)).astype(np.int16)
        await socket.send_str(media(1, ulaw_encode(tone).tobytes()))
        await socket.send_str('{"event":"dtmf","sequenceNumber":"3","streamSid":"MZ1","dtmf":{"digit":"#"}}')
        await socket.send_str('{"event":"stop","sequenceNumber":"4","streamSid":"MZ1","stop":{}}')
        await closed(socket)
        assert ("key", "#") in call.told
        assert call.told[-1] == ("end", "caller", "bye")
        assert np.abs(call.audio[0].astype(int) - tone).max() < 300


async def test_a_socket_that_just_closes_ends_the_call() -> None:
    async with door() as (client, desk):
        socket = await opened(client)
        _, call = await called(socket, desk)
        await socket.close()
        async with asyncio.timeout(2):
            while not call.is_over:
                await asyncio.sleep(0.01)
        assert call.told[-1] == ("end", "caller", "gone")


async def test_what_is_played_goes_out_with_marks_and_a_clear_overtakes_it() -> None:
    async with door() as (client, desk):
        socket = await opened(client)
        peer, call = await called(socket, desk)
        loud = np.full(160, 5000, np.int16)
        for number in range(8):  # more than may lie ahead: the rest waits here
            peer.play(loud, number)
        assert peer.unsent > 0
        peer.clear()
        assert peer.unsent == 0
        peer.play(loud, 8)
        seen = []
        async with asyncio.timeout(2):
            while "clear" not in seen or seen[-1] != "media":
                seen.append(json.loads((await socket.receive()).data)["event"])
        assert seen == ["mark", "clear", "media"], "nothing of before the clear goes out any more"
        assert call.confirmed == 0
        peer.ended("hangup")
        assert await closed(socket) == 1000


async def test_marks_confirm_what_was_played() -> None:
    async with door() as (client, desk):
        socket = await opened(client)
        peer, call = await called(socket, desk)
        for number in range(5):
            peer.play(np.full(160, 5000, np.int16), number)
        async with asyncio.timeout(2):
            while True:
                body = json.loads((await socket.receive()).data)
                if body["event"] == "mark" and body["mark"]["name"] != "0.0":
                    break
        name = json.dumps({"name": body["mark"]["name"]})
        await socket.send_str(f'{{"event":"mark","sequenceNumber":"2","streamSid":"MZ1","mark":{name}}}')
        async with asyncio.timeout(2):
            while call.confirmed < 5:
                await asyncio.sleep(0.01)


async def test_a_stream_alone_can_neither_transfer_nor_send_keys() -> None:
    async with door() as (client, desk):
        peer, _ = await called(await opened(client), desk)
        with pytest.raises(MediaError, match="REST"):
            peer.transfer("+15551234567")
        with pytest.raises(MediaError):
            peer.send_dtmf("1")


async def test_a_carrier_that_takes_nothing_loses_its_call() -> None:
    async with door() as (client, desk):
        socket = await opened(client)
        peer, call = await called(socket, desk)
        for number in range(310):
            peer.play(np.full(160, 5000, np.int16), number)
        assert desk.refusals == ["stream-stalled"]
        assert call.told[-1] == ("end", "network", "media_timeout")
        assert await closed(socket) in (1006, None)
        peer.play(np.full(160, 5000, np.int16), 310)
        assert desk.refusals == ["stream-stalled"], "told once"
