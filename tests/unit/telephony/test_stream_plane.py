"""Legs of a stream edge as a session sees them, over a real control socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from telephony.edge_messages import ControlReader, pack_message, parse_object
from telephony.errors import MediaError
from telephony.events import Direction, DtmfReceived, LegAnswered, LegEnded, LegEvent, LegInfo, TextAppended
from telephony.plane import Leg, SeatAddress
from telephony.stream_client import StreamClient
from telephony.stream_messages import info_from_json, info_to_json
from telephony.stream_plane import StreamPlane

INFO = LegInfo(
    leg_id="a1",
    transport="pcm",
    direction=Direction.INBOUND,
    from_uri="client",
    to_uri="agent",
    source="127.0.0.1:9",
    headers=(("X-A", "b"),),
)
SEAT = SeatAddress(worker="/w", row=1, seat=2)


class Edge:
    """A stand-in that takes every command but ``dtmf``."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []
        self.writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer, control = writer, ControlReader()
        while data := await reader.read(65536):
            for text in control.feed(data):
                body = parse_object(text)
                self.commands.append(body)
                answer = {"ok": False, "error": "no keys"} if body["cmd"] == "dtmf" else {"ok": True}
                writer.write(pack_message({"id": body["id"], **answer}))

    def tell(self, event: str, **more: Any) -> None:
        assert self.writer is not None
        self.writer.write(pack_message({"event": event, "leg": "a1", **more}))


@contextlib.asynccontextmanager
async def plane(path: Path) -> AsyncIterator[tuple[StreamPlane, Edge, asyncio.Queue[Leg], list[tuple[str, Any]]]]:
    edge, offers, logged = Edge(), asyncio.Queue[Leg](), []
    server = await asyncio.start_unix_server(edge.serve, str(path))
    client = StreamClient()
    made = StreamPlane(client, log=lambda event, **fields: logged.append((event, fields)))

    async def on_offer(leg: Leg) -> None:
        offers.put_nowait(leg)
        async for event in leg.events():
            seen.append(event)  # noqa: PERF401 -- looked at while it grows

    seen: list[LegEvent] = []
    made.seen = seen  # type: ignore[attr-defined]
    client.on_lost = made.edge_lost
    await client.connect(str(path))
    await made.start(on_offer)
    await asyncio.sleep(0)
    try:
        yield made, edge, offers, logged
    finally:
        await made.stop()
        if edge.writer is not None:
            edge.writer.close()
            with contextlib.suppress(ConnectionError):
                await edge.writer.wait_closed()
        server.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(3):
        while not condition():
            await asyncio.sleep(0.005)


def test_leg_info_survives_the_channel() -> None:
    assert info_from_json(info_to_json(INFO)) == INFO


async def test_offer_events_and_end_reach_the_session_in_order(tmp_path: Path) -> None:
    async with plane(tmp_path / "s") as (made, edge, offers, _):
        await until(lambda: edge.writer)
        edge.tell("offered", info=info_to_json(INFO))
        leg = await offers.get()
        assert leg.info == INFO
        await leg.answer(SEAT)
        assert edge.commands[-1]["seat"] == {"worker": "/w", "row": 1, "seat": 2}
        edge.tell("answered")
        edge.tell("dtmf", digit="4", duration_ms=90)
        edge.tell("append", channel="thinking", text="x")
        edge.tell("nonsense")
        edge.tell("ended", by="caller", status=0, reason="bye")
        seen: list[LegEvent] = made.seen  # type: ignore[attr-defined]
        await until(lambda: seen and isinstance(seen[-1], LegEnded))
        assert [type(event) for event in seen] == [LegAnswered, DtmfReceived, TextAppended, LegEnded]
        await leg.hangup("late")
        assert all(command["cmd"] != "hangup" for command in edge.commands)


async def test_only_what_clients_may_see_is_notified(tmp_path: Path) -> None:
    async with plane(tmp_path / "s") as (_, edge, offers, _):
        await until(lambda: edge.writer)
        edge.tell("offered", info=info_to_json(INFO))
        leg = await offers.get()
        leg.notify(10, "tool", {"name": "secret"})
        leg.notify(20, "words", {"text": "hi", "final": False})
        await until(lambda: edge.commands)
        assert [command["kind"] for command in edge.commands if command["cmd"] == "notify"] == ["words"]


async def test_what_a_door_cannot_do_raises(tmp_path: Path) -> None:
    async with plane(tmp_path / "s") as (made, edge, offers, _):
        await until(lambda: edge.writer)
        edge.tell("offered", info=info_to_json(INFO))
        leg = await offers.get()
        with pytest.raises(MediaError, match="no keys"):
            await leg.send_dtmf("1")
        with pytest.raises(MediaError):
            await made.dial("x", seat=SEAT)


async def test_lost_edge_ends_every_leg(tmp_path: Path) -> None:
    async with plane(tmp_path / "s") as (made, edge, offers, _):
        await until(lambda: edge.writer)
        edge.tell("offered", info=info_to_json(INFO))
        await offers.get()
        assert edge.writer is not None
        edge.writer.close()
        seen: list[LegEvent] = made.seen  # type: ignore[attr-defined]
        await until(lambda: seen)
        assert seen == [LegEnded(leg_id="a1", by="edge", status=0, reason="edge_lost")]


async def test_refusals_of_the_edge_are_logged_and_drain_is_passed_on(tmp_path: Path) -> None:
    async with plane(tmp_path / "s") as (made, edge, _, logged):
        await until(lambda: edge.writer)
        edge.tell("refused", door="pcm", source="1.2.3.4:5", rule="stream-token", why="no token", missed=0)
        await until(lambda: logged)
        assert logged[0][0] == "stream.refused"
        assert logged[0][1]["rule"] == "stream-token"
        made.drain()
        await until(lambda: edge.commands)
        assert edge.commands[-1]["cmd"] == "drain"
