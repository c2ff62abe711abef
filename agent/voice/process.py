"""A voice process: one engine, one socket, one clause at a time, a bounded queue.

Synthesis holds the interpreter's lock, so it must not live beside an event loop. While a clause is spoken the socket
is looked at between pieces: a cancelled clause stops there. The process ends when its owner's end of the socket
closes.
"""

from __future__ import annotations

import heapq
import json
import select
import signal
import socket
import time
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import VoiceFailed
from agent.voice.engine import ClauseJob, Engine, Times
from agent.voice.wire import Frame, FrameReader, Kind, pack, pack_audio, pack_times, unpack_job

MOST_QUEUED: Final = 256
"""Clauses that wait; above it new ones are refused (their utterances fail, running ones go on)."""
FIRST_PIECE: Final = 160
MOST_PIECE: Final = 1280
"""Samples of a message: 20 ms first, then twice as many each time up to 160 ms, so that the front has less to do."""
WARM_UP: Final = ClauseJob(("ready", "to", "speak"), ".", 0)


def make_engine(engine: str, name: str) -> Engine:
    """Engine and what ``Choice.handed`` says of it. Raises ``VoiceFailed``. Imports are local: none needs another's."""
    if engine == "flite":
        from agent.voice.flite import FliteEngine

        return FliteEngine(name)
    if engine == "pico":
        from agent.voice.pico import PicoEngine

        return PicoEngine(name)
    if engine == "kokoro":
        from agent.voice.kokoro import KokoroEngine

        voice, model, _ = json.loads(name)
        return KokoroEngine(voice, model)
    if engine == "piper":
        from agent.voice.piper import PiperEngine

        _, model, program = json.loads(name)
        return PiperEngine(model, program)
    if engine == "marker":
        from agent.voice.marker import MarkerEngine

        return MarkerEngine()
    raise VoiceFailed(f"unknown voice engine {engine!r}")


class OwnerGone(Exception):
    """The other end of the socket is closed."""


@dataclass(frozen=True, slots=True, order=True)
class _Waiting:
    """A clause in the queue; compared by deadline, then by age."""

    deadline_s: float
    request: int
    job: ClauseJob = field(compare=False)


class VoiceServer:
    """Speaks what its owner asks for: first the clause whose hearer runs out of audio first."""

    def __init__(self, sock: socket.socket, engine: Engine) -> None:
        self._sock = sock
        self._engine = engine
        self._reader = FrameReader()
        self._queue: list[_Waiting] = []
        self._current = 0
        self._cancelled = False

    def run(self) -> None:
        """Serve until the owner goes."""
        try:
            self._send(pack(Kind.READY, 0))
            while True:
                while not self._queue:
                    self._receive()
                waiting = heapq.heappop(self._queue)
                self._serve(waiting.request, waiting.job)
        except (OwnerGone, BrokenPipeError, ConnectionResetError):
            return

    def _serve(self, request: int, job: ClauseJob) -> None:
        self._current, self._cancelled = request, False
        pieces = _Pieces(self, request)
        try:
            self._engine.say(job, pieces.emit)
        except VoiceFailed as failed:
            self._send(pack(Kind.FAILED, request, str(failed).encode()))
        else:
            if not self._cancelled:
                pieces.flush()
                self._send(pack(Kind.END, request))
        self._current = 0

    def wanted(self) -> bool:
        """Look at the socket without waiting; false once the current clause is cancelled."""
        while select.select([self._sock], [], [], 0)[0]:
            self._receive()
        return not self._cancelled

    def send(self, data: bytes) -> None:
        self._send(data)

    def _send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def _receive(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise OwnerGone
        for frame in self._reader.feed(data):
            self._handle(frame)

    def _handle(self, frame: Frame) -> None:
        if frame.kind is Kind.CANCEL:
            self._cancelled = self._cancelled or frame.request == self._current
            self._queue = [waiting for waiting in self._queue if waiting.request != frame.request]
            heapq.heapify(self._queue)
        elif frame.kind is Kind.SPEAK:
            if len(self._queue) >= MOST_QUEUED:
                self._send(pack(Kind.FAILED, frame.request, b"the voice is overloaded"))
            else:
                job, slack_ms = unpack_job(frame.payload)
                deadline_s = time.monotonic() + slack_ms / 1000
                heapq.heappush(self._queue, _Waiting(deadline_s, frame.request, job))


class _Pieces:
    """Gathers an engine's samples into messages that grow."""

    def __init__(self, server: VoiceServer, request: int) -> None:
        self._server, self._request = server, request
        self._held: list[NDArray[np.int16]] = []
        self._size, self._target = 0, FIRST_PIECE

    def emit(self, pcm: NDArray[np.int16], times: Times | None) -> bool:
        if times is not None:
            self._server.send(pack_times(self._request, times))
        self._held.append(pcm)
        self._size += pcm.size
        if self._size >= self._target:
            self.flush()
            self._target = min(MOST_PIECE, 2 * self._target)
        return self._server.wanted()

    def flush(self) -> None:
        if self._size:
            self._server.send(pack_audio(self._request, np.concatenate(self._held)))
        self._held, self._size = [], 0


def main(fd: int, engine: str, name: str) -> None:
    """Entry of the process: an inherited socket and the voice to load."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the owner, who closes the socket
    sock = socket.socket(fileno=fd)
    try:
        server = VoiceServer(sock, warm(make_engine(engine, name)))
    except VoiceFailed as failed:
        sock.sendall(pack(Kind.FAILED, 0, str(failed).encode()))
        return
    server.run()


def warm(engine: Engine) -> Engine:
    """Speak once into nothing: the first call loads pages and data."""
    engine.say(WARM_UP, lambda _pcm, _times: True)
    return engine
