"""The live session door on real sockets: start, pace, transcripts of what was heard, texts, refusals."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from telephony.doors.live import LiveDoor
from telephony.events import TextAppended
from tests.unit.telephony.doors.kit import Kit, kit, until

Socket = aiohttp.ClientWebSocketResponse


async def connect(made: Kit, **more: Any) -> Socket:
    return await made.session.ws_connect(f"{made.url}/v1/live/sessions", **more)


async def started(made: Kit, **session: Any) -> Socket:
    socket = await connect(made)
    await socket.send_json({"type": "session.start", "event_id": "s1", "session": {"model": "m", **session}})
    message = await socket.receive_json(timeout=3)
    assert (message["type"], message["client_event_id"]) == ("session.started", "s1")
    assert message["session"]["id"].startswith("sess_")
    return socket


async def next_of(socket: Socket, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while True:
            message = await socket.receive_json()
            if message["type"] == kind:
                return dict(message)


async def closed_with(socket: Socket) -> int | None:
    async with asyncio.timeout(5):
        while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    return socket.close_code


@pytest.mark.parametrize(
    ("format_", "size"),
    [
        ({}, 960),
        ({"type": "audio/pcm", "rate": 16000}, 640),
        ({"type": "audio/pcmu"}, 160),
        ({"type": "audio/pcma"}, 160),
    ],
)
async def test_audio_goes_both_ways_at_real_time_pace(tmp_path: Path, format_: dict[str, Any], size: int) -> None:
    async with kit(tmp_path, LiveDoor()) as made:
        socket = await started(made, **({"audio": {"format": format_}} if format_ else {}))
        first = base64.b64decode((await next_of(socket, "session.output_audio.delta"))["delta"])
        assert len(first) == size
        loud = bytes([0x20, 0x30]) * (7 * size // 2)
        for _ in range(3):
            await socket.send_json({"type": "session.input_audio.append", "audio": base64.b64encode(loud).decode()})
        began = asyncio.get_running_loop().time()
        heard = [base64.b64decode((await next_of(socket, "session.output_audio.delta"))["delta"]) for _ in range(20)]
        assert 0.3 < asyncio.get_running_loop().time() - began < 0.7
        assert sum(len(set(frame)) > 1 or set(frame) == {0x20, 0x30} for frame in heard) >= 5
        await socket.close()
        assert (await made.ended()).reason == "bye"


async def test_session_starts_at_once_though_nobody_has_answered(tmp_path: Path) -> None:
    async with kit(tmp_path, LiveDoor()) as made:
        made.answer = False
        socket = await started(made)
        await until(lambda: made.legs)
        assert made.legs[0].info.transport == "live"
        await socket.close()


async def test_transcripts_are_turns_and_what_was_heard(tmp_path: Path) -> None:
    async with kit(tmp_path, LiveDoor()) as made:
        socket = await started(made)
        await until(lambda: made.legs)
        leg = made.legs[0]
        leg.notify(500, "turn", {"phase": "started", "turn": 1})
        leg.notify(1500, "turn", {"phase": "ended", "turn": 1, "text": "where is"})
        leg.notify(1600, "turn", {"phase": "reopened", "turn": 1})
        leg.notify(2500, "turn", {"phase": "ended", "turn": 1, "text": "where is my parcel"})
        leg.notify(3000, "utterance", {"phase": "started", "number": 4, "text": "It is here."})
        leg.notify(3400, "utterance", {"phase": "ended", "number": 4, "heard": "It is", "unheard": "here."})
        leg.notify(3500, "utterance", {"phase": "ended", "number": 5, "heard": "", "unheard": "Never said."})
        leg.notify(4000, "utterance", {"phase": "ended", "number": 6, "heard": "Sorry?", "unheard": ""})
        turn = await next_of(socket, "session.input_transcript.delta")
        assert (turn["delta"], turn["start_ms"], turn["end_ms"]) == (" where is", 500, 1500)
        assert (await next_of(socket, "session.input_transcript.delta"))["delta"] == " my parcel"
        said = await next_of(socket, "session.output_transcript.delta")
        assert (said["delta"], said["start_ms"], said["end_ms"]) == (" It is", 3000, 3400)
        assert (await next_of(socket, "session.output_transcript.delta"))["delta"] == " Sorry?"
        await socket.close()


async def test_texts_reach_the_session_also_those_of_the_start(tmp_path: Path) -> None:
    async with kit(tmp_path, LiveDoor()) as made:
        socket = await started(made, instructions="Be brief.")
        await socket.send_json(
            {"type": "session.commentary.append", "event_id": "c1", "delegation_id": None, "content": "Say hello."}
        )
        ack = await next_of(socket, "session.commentary.appended")
        assert ack["client_event_id"] == "c1"
        await until(lambda: sum(isinstance(event, TextAppended) for event in made.events) == 2)
        texts = [(e.channel, e.text) for e in made.events if isinstance(e, TextAppended)]
        assert texts == [("instructions", "Be brief."), ("commentary", "Say hello.")]
        await socket.close()


async def test_close_of_the_client_and_hang_up_of_the_agent(tmp_path: Path) -> None:
    async with kit(tmp_path, LiveDoor()) as made:
        socket = await started(made)
        await next_of(socket, "session.output_audio.delta")
        await socket.send_json({"type": "session.close", "event_id": "x"})
        closed = await next_of(socket, "session.closed")
        assert (closed["reason"], closed["client_event_id"]) == ("client_requested", "x")
        assert await closed_with(socket) == 1000
        assert (await made.ended()).by == "caller"
        socket = await started(made)
        await next_of(socket, "session.output_audio.delta")
        await made.legs[1].hangup("agent_hangup")
        assert (await next_of(socket, "session.closed"))["reason"] == "agent_hangup"
        assert await closed_with(socket) == 1000


async def test_refused_session_says_why(tmp_path: Path) -> None:
    async with kit(tmp_path, LiveDoor()) as made:
        made.refuse_with = 486
        socket = await started(made)
        assert (await next_of(socket, "error"))["error"]["code"] == "busy"
        assert await closed_with(socket) == 4486


async def test_second_start_and_early_audio_are_errors_that_the_session_survives(tmp_path: Path) -> None:
    async with kit(tmp_path, LiveDoor()) as made:
        socket = await connect(made)
        await socket.send_json({"type": "session.input_audio.append", "event_id": "a", "audio": ""})
        error = (await next_of(socket, "error"))["error"]
        assert (error["code"], error["client_event_id"]) == ("session_not_started", "a")
        for event_id in ("one", "two"):
            await socket.send_json({"type": "session.start", "event_id": event_id, "session": {"model": "m"}})
        error = (await next_of(socket, "error"))["error"]
        assert (error["code"], error["client_event_id"]) == ("session_already_started", "two")
        await next_of(socket, "session.output_audio.delta")
        assert len(made.legs) == 1
        await socket.close()


async def test_too_many_bad_messages_end_the_session(tmp_path: Path) -> None:
    async with kit(tmp_path, LiveDoor()) as made:
        socket = await started(made)
        await next_of(socket, "session.output_audio.delta")
        for _ in range(25):
            await socket.send_str("nonsense")
        assert await closed_with(socket) == 4400
        assert (await made.ended()).reason == "protocol"


async def test_socket_without_a_start_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.doors.live.START_S", 0.1)
    async with kit(tmp_path, LiveDoor()) as made:
        assert await closed_with(await connect(made)) == 4408


async def test_token_is_asked_for(tmp_path: Path) -> None:
    async with kit(tmp_path, LiveDoor(token="k")) as made:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect(made)
        assert refused.value.status == 401
        await (await connect(made, headers={"Authorization": "Bearer k"})).close()


async def test_oversized_message_ends_the_session_and_is_named(tmp_path: Path) -> None:
    async with kit(tmp_path, LiveDoor()) as made:
        socket = await started(made)
        await next_of(socket, "session.output_audio.delta")
        await socket.send_str(json.dumps({"type": "session.input_audio.append", "audio": "A" * 300_000}))
        assert await closed_with(socket) == 1009
        assert (await made.ended()).reason == "protocol"
        await until(lambda: "stream-oversized" in [one["rule"] for one in made.refused])


async def test_unknown_codec_is_refused_and_the_next_start_is_taken(tmp_path: Path) -> None:
    async with kit(tmp_path, LiveDoor()) as made:
        socket = await connect(made)
        audio = {"format": {"type": "audio/opus"}}
        await socket.send_json({"type": "session.start", "event_id": "o", "session": {"model": "m", "audio": audio}})
        error = (await next_of(socket, "error"))["error"]
        assert (error["code"], error["param"], error["client_event_id"]) == (
            "unsupported_format", "session.audio.format.type", "o",
        )  # fmt: skip
        assert not made.legs
        await socket.send_json({"type": "session.start", "session": {"model": "m"}})
        await next_of(socket, "session.output_audio.delta")
        await socket.close()


async def test_client_that_takes_nothing_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.stream_socket.STALL_S", 0.3)
    async with kit(tmp_path, LiveDoor()) as made:
        socket = await started(made)
        await next_of(socket, "session.output_audio.delta")
        transport = socket._response.connection.transport  # type: ignore[union-attr]
        transport.pause_reading()  # type: ignore[union-attr]
        call = next(iter(made.edge._calls.values()))
        for number in range(400):  # fill what the kernel takes, far faster than time
            call.peer.notify(0, "turn", {"phase": "ended", "turn": number, "text": "x" * 20000})
            await asyncio.sleep(0)
        ended = await made.ended()
        assert (ended.by, ended.reason) == ("network", "media_timeout")
        await until(lambda: "stream-stalled" in [one["rule"] for one in made.refused])
        transport.abort()  # type: ignore[union-attr]
