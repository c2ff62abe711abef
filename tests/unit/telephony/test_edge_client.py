from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from telephony.edge_client import EdgeClient
from telephony.edge_messages import ControlReader, WorkerLost, media_from_json, pack_message, parse_object
from telephony.errors import MediaError, RemoteProtocolError, TransportClosed
from telephony.events import DtmfReceived, LegEvent
from telephony.media import LegMedia

MEDIA = LegMedia(
    codec="PCMA", payload_type=8, dtmf_payload_type=None, remote=("127.0.0.1", 4000), signalling_ip="127.0.0.1"
)
Answer = Callable[[dict[str, Any]], list[dict[str, Any]] | None]


@asynccontextmanager
async def edge(path: Path, answer: Answer) -> AsyncIterator[str]:
    """A stand-in for an edge: ``answer`` gives the messages for a command, ``None`` hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        control = ControlReader()
        writers.append(writer)
        while data := await reader.read(65536):
            for text in control.feed(data):
                messages = answer(parse_object(text))
                if messages is None:
                    writer.close()
                    return
                writer.write(b"".join(pack_message(message) for message in messages))

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_unix_server(serve, str(path))
    try:
        yield str(path)
    finally:
        server.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0)


async def test_a_command_gets_its_own_answer(tmp_path: Path) -> None:
    async with edge(tmp_path / "e", lambda body: [{"id": body["id"], "ok": True, "port": 4000}]) as path:
        client = EdgeClient()
        await client.connect(path)
        assert await asyncio.gather(client.reserve("a"), client.reserve("b")) == [4000, 4000]
        await client.aclose()


async def test_a_refusal_is_a_media_error_with_the_edges_words(tmp_path: Path) -> None:
    async with edge(tmp_path / "e", lambda body: [{"id": body["id"], "ok": False, "error": "no leg 'x'"}]) as path:
        client = EdgeClient()
        await client.connect(path)
        with pytest.raises(MediaError, match="no leg 'x'"):
            await client.open("x", MEDIA, None)
        await client.aclose()


async def test_events_come_before_the_answer_that_follows_them(tmp_path: Path) -> None:
    events: list[LegEvent] = []
    news = [
        {"event": "dtmf", "leg": "a", "digit": "5", "duration_ms": 20},
        {"event": "worker_lost", "worker": "w", "legs": ["a", "b"]},
        {"event": "of a later version"},
    ]
    async with edge(tmp_path / "e", lambda body: [*news, {"id": body["id"], "ok": True}]) as path:
        client = EdgeClient(on_event=events.append)
        await client.connect(path)
        await client.send_dtmf("a", "1")
        await client.aclose()
    assert events == [
        DtmfReceived(leg_id="a", digit="5", duration_ms=20),
        WorkerLost(leg_id="a", worker="w"),
        WorkerLost(leg_id="b", worker="w"),
    ]


async def test_a_lost_edge_ends_waiting_commands_and_is_told_once(tmp_path: Path) -> None:
    lost: list[bool] = []
    async with edge(tmp_path / "e", lambda body: None) as path:
        client = EdgeClient(on_lost=lambda: lost.append(True))
        await client.connect(path)
        with pytest.raises(TransportClosed):
            await client.stats()
        with pytest.raises(TransportClosed):
            await client.stats()
    assert lost == [True]


async def test_closing_ourselves_is_no_loss(tmp_path: Path) -> None:
    lost: list[bool] = []
    async with edge(tmp_path / "e", lambda body: [{"id": body["id"], "ok": True, "stats": {}}]) as path:
        client = EdgeClient(on_lost=lambda: lost.append(True))
        await client.connect(path)
        await client.stats()
        await client.aclose()
        await asyncio.sleep(0)
    assert not lost


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"codec": "G729"}, "codec"),
        ({"payload_type": 128}, "payload_type"),
        ({"payload_type": True}, "payload_type"),
        ({"remote": ["1.2.3.4"]}, "remote"),
        ({"remote": ["1.2.3.4", 70000]}, "remote"),
        ({"ptime_ms": 30}, "ptime_ms"),
        ({"send": 1}, "send"),
        ({"colour": "red"}, "colour"),
        ({"signalling_ip": None}, "signalling_ip"),
    ],
)
def test_wrong_media_is_refused_with_the_name_of_the_field(change: dict[str, Any], names: str) -> None:
    body = {"codec": "PCMU", "payload_type": 0, "remote": None, "signalling_ip": ""} | change
    with pytest.raises(RemoteProtocolError, match=names):
        media_from_json(body)
