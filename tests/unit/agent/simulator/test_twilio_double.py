"""The double keeps Twilio's promises: depth, marks, clear, numbers, stalls, TwiML."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agent.simulator.script import HangUp, Keys, Script, Step, Wait, When
from agent.simulator.twilio_call import TwilioAccount, TwilioResult, run_twilio_call, sign_request
from agent.simulator.twilio_double import PlaybackBuffer, StreamNetwork
from telephony.twilio.signature import is_signed

ACCOUNT = TwilioAccount(auth_token="token")


def test_a_mark_comes_back_when_all_before_it_was_played() -> None:
    buffer = PlaybackBuffer()
    assert buffer.mark("at once") == ["at once"]
    buffer.media(b"a" * 320)
    assert buffer.mark("one") == []
    buffer.media(b"b" * 160)
    assert buffer.mark("two") == []
    assert buffer.play(160) == (b"a" * 160, [])
    assert buffer.play(160) == (b"a" * 160, ["one"])
    assert buffer.play(160) == (b"b" * 160, ["two"])
    assert buffer.play(160) == (b"", [])
    assert buffer.deepest == 480


def test_clear_forgets_the_audio_and_returns_every_mark_at_once() -> None:
    buffer = PlaybackBuffer()
    buffer.media(b"a" * 800)
    buffer.mark("one")
    buffer.media(b"a" * 800)
    buffer.mark("two")
    assert buffer.clear() == ["one", "two"]
    assert (buffer.depth, buffer.cleared_bytes) == (0, 1600)
    buffer.media(b"c" * 160)
    assert buffer.mark("three") == []
    assert buffer.play(160) == (b"c" * 160, ["three"])


def test_a_stall_lets_nothing_pass_and_then_everything() -> None:
    network = StreamNetwork(stalls=((1.0, 0.5),))
    assert [network.passes_at(at) for at in (0.9, 1.0, 1.4, 1.5)] == [0.9, 1.5, 1.5, 1.5]


def test_requests_are_signed_as_the_service_checks_them() -> None:
    fields = {"To": "+1", "From": "+2"}
    signature = sign_request("token", "https://a.example/x", fields)
    assert is_signed("token", "https://a.example/x", signature, fields.items())


class Server:
    """A server for one voice webhook and one stream, as anybody might write it."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.send: list[str] = []
        self.close_after = 10**9
        self.url = ""

    async def voice(self, request: web.Request) -> web.Response:
        self.forms.append((request.path, {name: str(value) for name, value in (await request.post()).items()}))
        if request.path == "/after":
            return web.Response(text="<Response><Dial><Number>+15551234567</Number></Dial></Response>")
        stream = f'<Stream url="{self.url.replace("http", "ws")}/s"><Parameter name="a" value="b"/></Stream>'
        text = f'<Response><Connect action="{self.url}/after">{stream}</Connect></Response>'
        return web.Response(text=text, content_type="text/xml")

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        self.headers.append(request.headers.get("X-Twilio-Signature", ""))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            self.heard.append(json.loads(message.data))
            if len(self.heard) == 3:
                sid = self.heard[1]["streamSid"]
                for text in self.send:
                    await socket.send_str(text.replace("SID", sid))
            if len(self.heard) >= self.close_after:
                break
        await socket.close()
        return socket


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    app = web.Application()
    app.add_routes([web.post("/voice", server.voice), web.post("/after", server.voice), web.get("/s", server.stream)])
    async with TestServer(app) as running:
        server.url = str(running.make_url("")).rstrip("/")
        yield server


async def called(server: Server, *steps: Step, network: StreamNetwork | None = None) -> TwilioResult:
    script = Script(name="test", steps=steps, voice="awb", seed=1, max_s=3.0)
    uri = server.url.replace("http", "twilio+ws") + "/voice"
    return await run_twilio_call(uri, script, account=ACCOUNT, cues=_cues(script), network=network)


def _cues(script: Script) -> Any:
    from agent.simulator.render import Cue

    return tuple(Cue(step=step, item=str(n), text="", clip=None) for n, step in enumerate(script.steps))


async def test_messages_are_numbered_and_paced_as_twilio_does() -> None:
    async with serving(Server()) as server:
        keys = Keys(line=0, digits="5", when=When())
        found = await called(server, Wait(line=0, ms=200), keys, Wait(line=0, ms=100), HangUp(line=0))
        connected, start, *rest = server.heard
        assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        assert start["start"]["customParameters"] == {"a": "b"}
        assert start["start"]["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        assert [int(body["sequenceNumber"]) for body in (start, *rest)] == list(range(1, len(rest) + 2))
        media = [body["media"] for body in rest if body["event"] == "media"]
        assert [int(body["chunk"]) for body in media] == list(range(1, len(media) + 1))
        assert all(len(base64.b64decode(body["payload"])) == 160 for body in media)
        gaps = [int(b["timestamp"]) - int(a["timestamp"]) for a, b in itertools.pairwise(media)]
        assert abs(sum(gaps) / len(gaps) - 20) < 3
        assert [body["dtmf"]["digit"] for body in rest if body["event"] == "dtmf"] == ["5"]
        assert rest[-1]["event"] == "stop"
        assert found.result.book.ended_by == "caller"
        assert server.headers == [sign_request("token", server.url.replace("http", "ws") + "/s", {})]


async def test_the_caller_hears_what_was_sent_in_real_time_and_marks_come_then() -> None:
    server = Server()
    payload = base64.b64encode(b"\x20" * 4000).decode()
    server.send = [
        json.dumps({"event": "media", "streamSid": "SID", "media": {"payload": payload}}),
        json.dumps({"event": "mark", "streamSid": "SID", "mark": {"name": "end"}}),
        json.dumps({"event": "media", "streamSid": "other", "media": {"payload": payload}}),
    ]
    async with serving(server):
        found = await called(server, Wait(line=0, ms=900), HangUp(line=0))
    heard = found.result.agent
    assert 0.48 < (heard != 0).sum() / 8000 < 0.52
    (at,) = [n for n, body in enumerate(server.heard) if body["event"] == "mark"]
    before = [body for body in server.heard[3:at] if body["event"] == "media"]
    assert 24 <= len(before) <= 27, "half a second of it"
    assert found.trace.streams[0].unknown, "a message for another stream is no message"


async def test_when_the_server_closes_the_call_goes_on_at_its_action() -> None:
    server = Server()
    server.close_after = 10
    async with serving(server):
        found = await called(server, Wait(line=0, ms=2000), HangUp(line=0))
    assert [path for path, _ in server.forms] == ["/voice", "/after"]
    assert server.forms[1][1]["CallSid"] == server.forms[0][1]["CallSid"]
    assert found.result.book.transferred_to == "+15551234567"
    assert found.result.book.ended_by == "agent"


async def test_after_a_stall_everything_comes_at_once() -> None:
    async with serving(Server()) as server:
        network = StreamNetwork(stalls=((0.2, 0.3),))
        await asyncio.gather(called(server, Wait(line=0, ms=700), HangUp(line=0), network=network))
    stamps = [int(body["media"]["timestamp"]) for body in server.heard if body["event"] == "media"]
    assert len(stamps) >= 30, "nothing is lost, only late"


@pytest.mark.parametrize("uri", ["http://x/voice", "sip:a@b"])
async def test_other_addresses_are_none_of_its(uri: str) -> None:
    from agent.simulator.phone import DialFailed

    script = Script(name="test", steps=(), voice="awb", seed=1, max_s=1.0)
    with pytest.raises(DialFailed):
        await run_twilio_call(uri, script, account=ACCOUNT, cues=())
