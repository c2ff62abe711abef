"""A worker, an edge's socket and a front's client, all real, on one machine; the worker's loop runs in a thread."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.errors import AdmissionRefused, SeatLost
from agent.model.fakes import EnergyEars
from agent.model.protocol import Persona
from agent.pool.client import SeatHandle, WorkerClient
from agent.pool.messages import (
    BeginUtterance,
    KeyPressed,
    SeatEvent,
    TurnEnded,
    TurnStarted,
    UtteranceAudio,
    UtteranceEnded,
)
from agent.pool.registry import WorkerRegistry
from agent.pool.worker import Worker
from agent.scheduler.admission import StepCosts
from agent.scheduler.floor.profile import FloorProfile
from telephony.link import ALL_SENT, PROTOCOL, FrameReader, FrameType, InBatch, OutBatch, decode_out, encode_in, pack

SPEECH = np.full(160, 3000, np.int16)
SILENCE = np.zeros(160, np.int16)
PROFILE = FloorProfile()


class WorkerThread:
    def __init__(self, folder: Path, name: str = "w1", *, rows: int = 4, tcp: bool = False) -> None:
        control = "127.0.0.1:0" if tcp else f"{folder}/{name}.sock"
        audio = "127.0.0.1:0" if tcp else f"{folder}/{name}.audio"
        self.worker = Worker(
            name=name,
            control_path=control,
            audio_path=audio,
            model=EnergyEars(rows),
            rows=rows,
            step_budget=0.6,
            costs=StepCosts({1: 0.1}),
            phases=1,
        )
        self.path = self.worker.control_address
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self.worker._stopping:
            self.worker.pass_once(max_wait_s=0.01)
        self.worker.close()

    def stop(self) -> None:
        self.worker.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()


class Edge:
    """One edge with one phase; plays every frame in the tick after it came."""

    def __init__(self, address: str) -> None:
        if "/" in address:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(address)
        else:
            host, port = address.split(":")
            self.sock = socket.create_connection((host, int(port)))
        self.sock.settimeout(2)
        self.reader = FrameReader()
        self.frames: list[tuple[FrameType, bytes]] = []
        self.tick = 0
        self.played: dict[int, int] = {}
        self.send(pack(FrameType.HELLO, json.dumps({"proto": PROTOCOL, "edge": "e", "phases": 1}).encode()))
        kind, body = self.receive()
        assert kind is FrameType.HELLO
        assert json.loads(body)["proto"] == PROTOCOL

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self) -> tuple[FrameType, bytes]:
        while not self.frames:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError
            self.frames += self.reader.feed(data)
        return self.frames.pop(0)

    def step(self, audio: dict[SeatHandle, NDArray[np.int16]]) -> OutBatch:
        handles = list(audio)
        batch = InBatch(
            tick=self.tick,
            phase=0,
            sent_at=0.0,
            rows=np.array([h.row for h in handles], np.uint16),
            seats=np.array([h.seat for h in handles], np.uint32),
            flags=np.zeros(len(handles), np.uint8),
            played=np.array([self.played.get(h.seat, 0) for h in handles], np.uint32),
            sent=np.full(len(handles), ALL_SENT, np.uint32),
            taken=np.array([self.played.get(h.seat, 0) for h in handles], np.uint32),
            pcm=np.stack([audio[h] for h in handles]),
        )
        self.tick += 1
        self.send(encode_in(batch))
        kind, body = self.receive()
        assert kind is FrameType.OUT
        out = decode_out(body)
        for seat, frame in zip(out.seats.tolist(), out.frame_nos.tolist(), strict=True):
            self.played[seat] = frame + 1
        return out


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[WorkerThread]]:
    threads: list[WorkerThread] = []
    yield threads
    for thread in threads:
        thread.stop()


async def _seat(client: WorkerClient, call_id: str = "a", **more: Any) -> SeatHandle:
    return await client.open_seat(call_id, profile=PROFILE, persona=Persona(), **more)


async def _until(condition: Callable[[], bool], *, limit_s: float = 5.0) -> None:
    """Wait for something that another process or thread does."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.01)


async def _read_to_the_end(handle: SeatHandle) -> None:
    async with asyncio.timeout(5):
        async for _ in handle.events():
            pass


async def _next(handle: SeatHandle, kind: type[SeatEvent]) -> Any:
    async with asyncio.timeout(2):
        async for event in handle.events():
            if isinstance(event, kind):
                return event
    raise AssertionError(f"no {kind.__name__}")


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_call_speaks_and_is_answered_over_real_sockets(
    tmp_path: Path, started: list[WorkerThread], tcp: bool
) -> None:
    started.append(WorkerThread(tmp_path, tcp=tcp))
    client = await WorkerClient.connect(started[0].path)
    assert client.hello.rows == 4
    handle = await _seat(client)
    edge = Edge(handle.address.worker)
    for _ in range(20):
        edge.step({handle: SPEECH})
    assert (await _next(handle, TurnStarted)).turn == 1
    for _ in range(20):
        edge.step({handle: SILENCE})
    assert (await _next(handle, TurnEnded)).reason == "score"
    handle.send(BeginUtterance(call_id="a", utterance=1, interruptible=True))
    handle.send(
        UtteranceAudio(
            call_id="a", utterance=1, words=[["hello", 0, 320, 0]], last=True, pcm=np.full(320, 9000, "<i2").tobytes()
        )
    )
    heard = 0
    for _ in range(50):
        await asyncio.sleep(0.001)  # both sockets are read by the same thread: let it come to the control one
        heard += int(np.abs(edge.step({handle: SILENCE}).pcm).sum() > 0)
    assert heard == 2
    ended = await _next(handle, UtteranceEnded)
    assert (ended.heard, ended.complete, ended.reason) == ("hello", True, "played")
    await handle.close()
    assert [type(event).__name__ async for event in handle.events()] == ["FloorMoved"]
    edge.sock.close()
    await client.close()


async def test_a_full_worker_refuses_and_takes_again_when_a_row_is_free(
    tmp_path: Path, started: list[WorkerThread]
) -> None:
    started.append(WorkerThread(tmp_path, rows=1))
    client = await WorkerClient.connect(started[0].path)
    first = await _seat(client, "a")
    with pytest.raises(AdmissionRefused, match="pool_full"):
        await _seat(client, "b")
    await first.close()
    assert (await _seat(client, "c")).seat > first.seat
    client.drain()
    with pytest.raises(AdmissionRefused, match="draining"):
        await _seat(client, "d")
    await client.close()


async def test_a_lost_worker_ends_its_seats_and_the_registry_reseats_on_the_spare(
    tmp_path: Path, started: list[WorkerThread]
) -> None:
    one, two = WorkerThread(tmp_path, "w1"), WorkerThread(tmp_path, "spare")
    started.append(two)
    registry = WorkerRegistry()
    registry.add(await WorkerClient.connect(one.path))
    registry.add(await WorkerClient.connect(two.path), spare=True)
    handle = await registry.open_seat("a", profile=PROFILE, persona=Persona())
    assert handle.client.name == "w1"
    one.stop()
    with pytest.raises(SeatLost):
        await _read_to_the_end(handle)
    moved = await registry.reseat(handle, profile=PROFILE, persona=Persona())
    assert moved.client.name == "spare"
    await moved.client.close()


async def test_a_front_that_goes_frees_its_seats(tmp_path: Path, started: list[WorkerThread]) -> None:
    started.append(WorkerThread(tmp_path, rows=1))
    client = await WorkerClient.connect(started[0].path)
    await _seat(client)
    await client.close()
    again = await WorkerClient.connect(started[0].path)
    async with asyncio.timeout(2):
        while True:
            try:
                await _seat(again)
                break
            except AdmissionRefused:
                await asyncio.sleep(0.01)
    await again.close()


async def test_an_edge_that_talks_nonsense_is_dropped_and_another_goes_on(
    tmp_path: Path, started: list[WorkerThread]
) -> None:
    started.append(WorkerThread(tmp_path))
    client = await WorkerClient.connect(started[0].path)
    handle = await _seat(client)
    good, bad = Edge(handle.address.worker), Edge(handle.address.worker)
    bad.send(pack(FrameType.IN, b"\0" * 40))
    with pytest.raises(ConnectionError):
        bad.receive()
    assert len(good.step({handle: SILENCE}).rows) == 1
    good.sock.close()
    bad.sock.close()
    await client.close()


async def test_a_late_edge_is_stepped_on_concealed_audio_for_200_ms(
    tmp_path: Path, started: list[WorkerThread]
) -> None:
    started.append(WorkerThread(tmp_path))
    client = await WorkerClient.connect(started[0].path)
    handle = await _seat(client)
    edge = Edge(handle.address.worker)
    edge.step({handle: SILENCE})
    counters = started[0].worker.scheduler.counters
    await _until(lambda: counters.concealed_rows >= 10)
    await asyncio.sleep(0.1)
    assert counters.concealed_rows == 10
    for _ in range(10):
        assert len(edge.step({handle: SILENCE}).rows) == 1  # time that was stepped already: answered all the same
    assert counters.dropped_rows == 10
    edge.sock.close()
    await client.close()


async def test_a_recording_holds_caller_left_and_what_was_played_right(
    tmp_path: Path, started: list[WorkerThread]
) -> None:
    started.append(WorkerThread(tmp_path))
    client = await WorkerClient.connect(started[0].path)
    path = tmp_path / "calls" / "a.wav"
    handle = await _seat(client, record=str(path))
    edge = Edge(handle.address.worker)
    handle.send(BeginUtterance(call_id="a", utterance=1, interruptible=False))
    pcm = np.full(3200, 9000, "<i2").tobytes()
    handle.send(UtteranceAudio(call_id="a", utterance=1, words=[], last=True, pcm=pcm))
    handle.send(KeyPressed(call_id="a", digit="1"))
    for _ in range(40):
        edge.step({handle: SPEECH})
        await asyncio.sleep(0.001)
    await handle.close()
    assert not handle.recording_truncated
    assert handle.recording_ready
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, 40 * 160)
        stereo = np.frombuffer(file.readframes(40 * 160), "<i2").reshape(-1, 2)
    assert (stereo[:, 0] == 3000).all()
    assert 3200 - 320 <= (np.abs(stereo[:, 1]) > 500).sum() <= 3200
    edge.sock.close()
    await client.close()


async def test_killing_a_worker_process_is_told_to_every_seat(tmp_path: Path) -> None:
    code = (
        "import sys; from agent.model.fakes import EnergyEars; from agent.pool.worker import run_worker;"
        "run_worker(name='w', control_path=sys.argv[1], audio_path=sys.argv[2], model_factory=EnergyEars, rows=2)"
    )
    arguments = (sys.executable, "-c", code, f"{tmp_path}/c", f"{tmp_path}/a")
    process = await asyncio.create_subprocess_exec(*arguments, env={**os.environ, "PYTHONPATH": os.getcwd()})
    try:
        await _until((tmp_path / "a").exists, limit_s=20)
        client = await WorkerClient.connect(f"{tmp_path}/c")
        assert client.hello.step_p99_ms.keys() == {"1"}
        handle = await _seat(client)
        process.kill()
        with pytest.raises(SeatLost):
            await _read_to_the_end(handle)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
