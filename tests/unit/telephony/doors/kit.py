"""A stream edge on loopback in one event loop: real sockets, a worker that echoes, a session that is a function."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from telephony.events import LegEnded, LegEvent
from telephony.link import FrameReader, FrameType, OutBatch, OutFlag, decode_in, encode_out, pack
from telephony.plane import Leg, SeatAddress
from telephony.stream_client import StreamClient
from telephony.stream_door import Door
from telephony.stream_edge import StreamEdge
from telephony.stream_plane import StreamPlane
from telephony.stream_process import listening


@dataclass
class Kit:
    port: int
    edge: StreamEdge
    session: aiohttp.ClientSession
    legs: list[Leg] = field(default_factory=list)
    events: list[LegEvent] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    refuse_with: int = 0
    answer: bool = True
    epoch: int = 1

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def ended(self) -> LegEnded:
        await until(lambda: any(isinstance(event, LegEnded) for event in self.events))
        return next(event for event in self.events if isinstance(event, LegEnded))


async def until(condition: Any, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def kit(folder: Path, *doors: Door) -> AsyncIterator[Kit]:
    edge = StreamEdge(str(folder / "s"), max_calls=4, silence_timeout_s=30.0, now=time.monotonic())
    client = StreamClient()
    async with asyncio.TaskGroup() as group, listening(edge, list(doors), "127.0.0.1", 0) as port:
        ticking = group.create_task(edge.run())
        async with aiohttp.ClientSession() as http:
            made = Kit(port, edge, http)
            worker = await asyncio.start_unix_server(lambda r, w: _echo(made, r, w), str(folder / "w"))
            plane = StreamPlane(client, log=lambda event, **fields: made.refused.append(fields))
            await plane.start(lambda leg: _session(made, leg, str(folder / "w")))
            await client.connect(str(folder / "s"))
            await until(lambda: edge.refusal is None)
            try:
                yield made
            finally:
                await plane.stop()
                edge.stopping = True
                await ticking
                edge.close()
                worker.close()


async def _session(made: Kit, leg: Leg, worker: str) -> None:
    made.legs.append(leg)
    if made.refuse_with:
        await leg.refuse(made.refuse_with, "not now")
    elif made.answer:
        await leg.answer(SeatAddress(worker=worker, row=len(made.legs), seat=1))
    async for event in leg.events():
        made.events.append(event)


async def _echo(made: Kit, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A worker whose every row says what it hears."""
    frames, numbers = FrameReader(), dict[int, int]()
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            for kind, body in frames.feed(data):
                if kind is FrameType.HELLO:
                    writer.write(pack(FrameType.HELLO, json.dumps({"proto": 1}).encode()))
                elif kind is FrameType.IN:
                    batch = decode_in(body)
                    n = len(batch.rows)
                    for row in batch.rows.tolist():
                        numbers[row] = numbers.get(row, -1) + 1
                    writer.write(
                        encode_out(
                            OutBatch(
                                tick=batch.tick,
                                phase=0,
                                sent_at=0.0,
                                rows=batch.rows,
                                seats=batch.seats,
                                epochs=np.full(n, made.epoch, np.uint32),
                                frame_nos=np.array([numbers[row] for row in batch.rows.tolist()], np.uint32),
                                flags=np.full(n, int(OutFlag.SPEECH), np.uint8),
                                pcm=batch.pcm,
                            )
                        )
                    )
    writer.close()
