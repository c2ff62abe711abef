"""A stream edge stepped by hand, with a front, a worker and peers that are plain objects."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telephony.edge_messages import ControlReader, pack_message
from telephony.errors import MediaError
from telephony.link import FrameReader, FrameType, InBatch, OutBatch, OutFlag, decode_in, encode_out
from telephony.stream_call import StreamCall
from telephony.stream_edge import TICK_S, StreamEdge


class FakeDoor:
    """Calls without a network; ``lead_ms`` and ``confirms`` as wanted."""

    def __init__(self, *, lead_ms: int = 0, confirms: bool = False) -> None:
        self.name = "fake"
        self.lead_ms = lead_ms
        self.confirms = confirms

    def routes(self, desk: object) -> list[Any]:
        return []

    async def close(self) -> None:
        pass


class FakePeer:
    def __init__(self) -> None:
        self.unsent = 0
        self.told: list[tuple[Any, ...]] = []
        self.frames: list[tuple[int, NDArray[np.int16]]] = []
        self.call: StreamCall | None = None

    def answered(self) -> None:
        assert self.call is not None
        self.call.opened()

    def refused(self, status: int, reason: str, retry_after_s: int | None) -> None:
        self.told.append(("refused", status, reason, retry_after_s))

    def play(self, pcm: NDArray[np.int16], frame_no: int) -> None:
        self.frames.append((frame_no, pcm.copy()))

    def clear(self) -> None:
        self.told.append(("clear", len(self.frames)))

    def send_dtmf(self, digits: str) -> None:
        raise MediaError("no keys here")

    def transfer(self, target: str) -> None:
        self.told.append(("transfer", target))

    def notify(self, at_ms: int, kind: str, data: dict[str, Any]) -> None:
        self.told.append(("notify", at_ms, kind, data))

    def ended(self, reason: str) -> None:
        self.told.append(("ended", reason))


class World:
    def __init__(self, folder: Path, *, max_calls: int = 4) -> None:
        self.now = 1000.0
        self.edge = StreamEdge(str(folder / "edge"), max_calls=max_calls, silence_timeout_s=6.0, now=self.now)
        self.front = socket.socket(socket.AF_UNIX)
        self.front.connect(str(folder / "edge"))
        self.front.setblocking(False)
        self._control = ControlReader()
        self.messages: list[dict[str, Any]] = []
        self.worker_path = str(folder / "worker")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.worker_path)
        self.listener.listen()
        self.listener.setblocking(False)
        self.link: socket.socket | None = None
        self.reader = FrameReader()
        self.batches: list[InBatch] = []
        self.epoch = 1
        self.frame_nos: dict[int, int] = {}
        self.tick()

    def tick(self, n: int = 1) -> None:
        for _ in range(n):
            self.edge.step_in(self.now)
            self.edge._serve_front(self.now)
            self._work()
            self.edge.step_out()
            self.edge._serve_front(self.now)
            self.now += TICK_S
            self.messages += [json.loads(text) for data in read(self.front) for text in self._control.feed(data)]

    def offer(self, door: FakeDoor | None = None) -> tuple[FakePeer, StreamCall]:
        peer = FakePeer()
        peer.call = self.edge.offer(peer, door=door or FakeDoor(), source="127.0.0.1:1", from_uri="a", to_uri="b")
        return peer, peer.call

    def answered(self, door: FakeDoor | None = None, row: int = 3) -> tuple[FakePeer, StreamCall]:
        peer, call = self.offer(door)
        self.ask("answer", call, seat={"worker": self.worker_path, "row": row, "seat": 9})
        self.tick(2)
        return peer, call

    def ask(self, command: str, call: StreamCall, **more: Any) -> dict[str, Any]:
        self.front.send(pack_message({"id": 5, "cmd": command, "leg": call.leg_id, **more}))
        self.tick(2)
        return next(message for message in reversed(self.messages) if "event" not in message)

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message.get("event") == kind]

    def close(self) -> None:
        self.edge.close()
        for sock in (self.front, self.listener, self.link):
            if sock is not None:
                sock.close()

    def _work(self) -> None:
        if self.link is None:
            try:
                self.link, _ = self.listener.accept()
            except BlockingIOError:
                return
            self.link.setblocking(False)
        for data in read(self.link):
            for kind, body in self.reader.feed(data):
                if kind is FrameType.IN:
                    batch = decode_in(body)
                    self.batches.append(batch)
                    self.link.send(encode_out(self._answer(batch)))

    def _answer(self, batch: InBatch) -> OutBatch:
        n = len(batch.rows)
        numbers = []
        for row in batch.rows.tolist():
            numbers.append(self.frame_nos.get(row, 0))
            self.frame_nos[row] = numbers[-1] + 1
        return OutBatch(
            tick=batch.tick, phase=0, sent_at=0.0, rows=batch.rows, seats=batch.seats,
            epochs=np.full(n, self.epoch, np.uint32), frame_nos=np.array(numbers, np.uint32),
            flags=np.full(n, int(OutFlag.SPEECH), np.uint8), pcm=batch.pcm,
        )  # fmt: skip


def read(sock: socket.socket | None) -> list[bytes]:
    found = []
    while sock is not None:
        try:
            data = sock.recv(1 << 16)
        except OSError:
            break
        if not data:
            break
        found.append(data)
    return found
