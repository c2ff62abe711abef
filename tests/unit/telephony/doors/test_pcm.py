"""The plain-audio door on real sockets: audio both ways, events, and every way to be refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from telephony.doors.pcm import PcmDoor, parse_message, parse_query
from telephony.errors import RemoteProtocolError
from telephony.events import DtmfReceived, TextAppended
from tests.unit.telephony.doors.kit import Kit, kit, until


async def hello(made: Kit, query: str = "", **more: Any) -> aiohttp.ClientWebSocketResponse:
    socket = await made.session.ws_connect(f"{made.url}/v1/pcm{query}", **more)
    message = json.loads(await socket.receive_str(timeout=3))
    assert message["type"] == "hello"
    return socket


async def texts(socket: aiohttp.ClientWebSocketResponse, until_type: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(5):
        while not found or found[-1]["type"] != until_type:
            message = await socket.receive()
            assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
            if message.type is aiohttp.WSMsgType.TEXT:
                found.append(json.loads(message.data))
    return found


@pytest.mark.parametrize(
    ("query", "rate", "frame_bytes"),
    [("", 8000, 320), ("?rate=16000", 16000, 640), ("?rate=24000", 24000, 960), ("?format=pcmu", 8000, 160),
     ("?format=pcma", 8000, 160)],
)  # fmt: skip
async def test_echo_of_a_tone_comes_back_in_the_same_format(
    tmp_path: Path, query: str, rate: int, frame_bytes: int
) -> None:
    async with kit(tmp_path, PcmDoor()) as made:
        socket = await hello(made, query)
        if frame_bytes == 160:
            data, silence = bytes([0x10]) * 8000, bytes([0xFF if "pcmu" in query else 0xD5])
        else:
            wave = 8000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
            data, silence = wave.astype("<i2").tobytes(), b"\0"
        for at in range(0, len(data) // 2, frame_bytes):
            await socket.send_bytes(data[at : at + frame_bytes])
        loud = 0
        async with asyncio.timeout(3):
            while loud < 5:
                frame = await socket.receive_bytes()
                assert len(frame) == frame_bytes
                loud += frame != silence * frame_bytes
        await socket.close()
        assert (await made.ended()).reason == "bye"


async def test_silence_comes_at_real_time_pace_from_the_answer_on(tmp_path: Path) -> None:
    async with kit(tmp_path, PcmDoor()) as made:
        socket = await hello(made)
        began = asyncio.get_running_loop().time()
        for _ in range(25):
            assert len(await socket.receive_bytes(timeout=1)) == 320
        assert 0.4 < asyncio.get_running_loop().time() - began < 0.8
        await socket.close()


async def test_keys_texts_and_the_session_s_events_pass(tmp_path: Path) -> None:
    async with kit(tmp_path, PcmDoor()) as made:
        socket = await hello(made, "?from=bench&to=line")
        assert (made.legs[0].info.from_uri, made.legs[0].info.to_uri) == ("bench", "line")
        await socket.send_json({"type": "dtmf", "digit": "7"})
        await socket.send_json({"type": "say", "text": "good morning"})
        await until(lambda: len(made.events) >= 3)
        assert any(isinstance(event, DtmfReceived) and event.digit == "7" for event in made.events)
        assert any(isinstance(event, TextAppended) and event.text == "good morning" for event in made.events)
        leg = made.legs[0]
        leg.notify(120, "words", {"text": "my parcel", "final": False})
        leg.notify(900, "utterance", {"phase": "ended", "number": 1, "heard": "It is", "unheard": "here.", "why": "x"})
        found = await texts(socket, "heard")
        assert found[0] == {"type": "words", "at_ms": 120, "text": "my parcel", "final": False}
        assert (found[-1]["text"], found[-1]["unheard"]) == ("It is", "here.")
        await leg.send_dtmf("12")
        assert (await texts(socket, "dtmf"))[-1]["digits"] == "12"
        await leg.hangup("agent_hangup")
        assert (await texts(socket, "end"))[-1]["reason"] == "agent_hangup"
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1000


async def test_nothing_comes_after_the_end(tmp_path: Path) -> None:
    """Audio that waits goes first: it was said before."""
    async with kit(tmp_path, PcmDoor()) as made:
        socket = await hello(made)
        peer = next(iter(made.edge._calls.values())).peer
        for _ in range(20):
            peer.play(np.full(160, 77, np.int16), -1)
        peer.ended("hangup")
        kinds = [message.type async for message in socket]
        assert kinds[-1] is aiohttp.WSMsgType.TEXT
        assert kinds.count(aiohttp.WSMsgType.BINARY) >= 20
        assert socket.close_code == 1000


async def test_client_may_end_the_call(tmp_path: Path) -> None:
    async with kit(tmp_path, PcmDoor()) as made:
        socket = await hello(made)
        await socket.send_json({"type": "end"})
        assert (await texts(socket, "end"))[-1]["reason"] == "client"
        assert (await made.ended()).by == "caller"


async def test_yield_tells_the_client_to_drop_what_it_holds(tmp_path: Path) -> None:
    async with kit(tmp_path, PcmDoor()) as made:
        socket = await hello(made)
        await socket.receive_bytes(timeout=1)
        await asyncio.sleep(0.1)
        made.epoch = 2
        assert (await texts(socket, "clear"))[-1] == {"type": "clear"}
        await socket.close()


async def test_refused_call_ends_with_its_status(tmp_path: Path) -> None:
    async with kit(tmp_path, PcmDoor()) as made:
        made.refuse_with = 486
        socket = await made.session.ws_connect(f"{made.url}/v1/pcm")
        end = json.loads(await socket.receive_str(timeout=3))
        assert (end["type"], end["status"]) == ("end", 486)
        await socket.receive()
        assert socket.close_code == 4486


@pytest.mark.parametrize(
    ("headers", "status", "rule"),
    [({}, 401, "stream-token"), ({"Authorization": "Bearer wrong"}, 401, "stream-token"),
     ({"Authorization": "Bearer s3cret", "Origin": "https://evil.example"}, 403, "stream-origin")],
)  # fmt: skip
async def test_who_may_not_is_refused_before_the_upgrade(
    tmp_path: Path, headers: dict[str, str], status: int, rule: str
) -> None:
    async with kit(tmp_path, PcmDoor(token="s3cret", allow_origins=["https://good.example"])) as made:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await made.session.ws_connect(f"{made.url}/v1/pcm", headers=headers)
        assert refused.value.status == status
        await until(lambda: made.refused)
        assert made.refused[0]["rule"] == rule
        good = {"Authorization": "Bearer s3cret", "Origin": "https://good.example"}
        await (await hello(made, headers=good)).close()


@pytest.mark.parametrize("query", ["?rate=11025", "?format=opus", "?format=pcmu&rate=16000", "?rate=x", "?colour=red"])
async def test_unknown_codec_or_parameter_is_a_bad_request(tmp_path: Path, query: str) -> None:
    async with kit(tmp_path, PcmDoor()) as made:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await made.session.ws_connect(f"{made.url}/v1/pcm{query}")
        assert refused.value.status == 400


async def test_too_long_a_message_ends_the_call(tmp_path: Path) -> None:
    async with kit(tmp_path, PcmDoor()) as made:
        socket = await hello(made)
        await socket.send_bytes(bytes(300 * 1024))
        while (await socket.receive(timeout=3)).type is aiohttp.WSMsgType.BINARY:
            pass
        assert socket.close_code == 1009
        assert (await made.ended()).reason == "protocol"
        assert made.refused[-1]["rule"] == "stream-oversized"


async def test_audio_far_faster_than_speech_ends_the_call(tmp_path: Path) -> None:
    async with kit(tmp_path, PcmDoor()) as made:
        socket = await hello(made)
        for _ in range(14):
            await socket.send_bytes(bytes(16000))
        while (await socket.receive(timeout=3)).type is aiohttp.WSMsgType.BINARY:
            pass
        assert socket.close_code == 4429
        await made.ended()


async def test_call_beyond_the_limit_is_refused_and_a_free_place_is_used_again(tmp_path: Path) -> None:
    async with kit(tmp_path, PcmDoor()) as made:
        sockets = [await hello(made) for _ in range(4)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await made.session.ws_connect(f"{made.url}/v1/pcm")
        assert refused.value.status == 503
        await sockets[0].close()
        await made.ended()
        await (await hello(made)).close()
        for socket in sockets[1:]:
            await socket.close()


async def test_client_that_stops_reading_is_cut_off_and_its_frames_never_count_as_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telephony.stream_socket.STALL_S", 0.3)
    async with kit(tmp_path, PcmDoor()) as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port, limit=1024)
        writer.write(
            b"GET /v1/pcm?rate=24000 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: made.legs and made.edge._calls)
        call = next(iter(made.edge._calls.values()))
        await until(lambda: call.is_open)
        for _ in range(400):  # fill what the kernel takes, far faster than time
            call.peer.notify(0, "words", {"text": "x" * 20000})
            await asyncio.sleep(0)
        ended = await made.ended()
        assert (ended.by, ended.reason) == ("network", "media_timeout")
        writer.close()


def test_every_bad_message_names_its_rule() -> None:
    for text in ("", "[]", "1", "{}", '{"type": 5}', '{"type":"dtmf"}', '{"type":"dtmf","digit":"x"}',
                 '{"type":"say","text":"\\u0000"}', '{"type":"say","text":"\\ud800"}',
                 '{"type":"dtmf","digit":["1"]}', '{"type":"end","x":1}', '{"type":"say","text":""}', "[" * 100000):  # fmt: skip
        with pytest.raises(RemoteProtocolError) as refused:
            parse_message(text)
        assert refused.value.rule.startswith("pcm-")
    with pytest.raises(RemoteProtocolError):
        parse_query([("from", "x" * 300)])


async def test_who_connects_and_says_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the middle of a head, and between two requests."""
    monkeypatch.setattr("telephony.stream_process.HEAD_S", 0.2)
    whole = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
    async with kit(tmp_path, PcmDoor()) as made:
        for said in (b"", b"GET /v1/pcm HT", whole, whole + b"GET /v1/pcm HT"):
            reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
            writer.write(said)
            answer = await asyncio.wait_for(reader.read(), 3.0)
            assert answer.startswith(b"HTTP/1.1 404") == said.startswith(whole)
            writer.close()
