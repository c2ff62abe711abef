"""A voice process: one engine, one socket, one clause at a time, a bounded queue.

Synthesis holds the interpreter's lock, so it must not live beside an event loop. While a clause is spoken the socket
is looked at between pieces: a cancelled clause stops there. The process ends when its owner's end of the socket
closes.

Where the engine does not know its word times, the clause goes out with an estimate at once and waits in the queue
again, to have its words found in its audio: later than any clause whose hearer runs out of audio before.
"""

from __future__ import annotations

import heapq
import json
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from agent.errors import ModelError, VoiceFailed
from agent.voice.engine import ClauseJob, Engine, NotAligned, Times
from agent.voice.protocol import WordTimes
from agent.voice.shape import RATE_HZ, Pcm
from agent.voice.wire import Frame, FrameReader, Kind, pack, pack_audio, pack_ready, pack_times, unpack_job

MOST_QUEUED: Final = 256
"""Clauses that wait; above it new ones are refused (their utterances fail, running ones go on)."""
FIRST_PIECE: Final = 160
MOST_PIECE: Final = 1280
"""Samples of a message: 20 ms first, then twice as many each time up to 160 ms, so that the front has less to do."""
READY: Final = pack(Kind.READY, 0)
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


class Aligner(Protocol):
    """Finds words in their audio (``agent.voice.aligned``)."""

    def times(self, job: ClauseJob, pcm: Pcm, go_on: Callable[[], bool]) -> Times | None:
        """Times of the job's words; ``None`` when told not to go on. Raises ``NotAligned``."""
        ...


def make_aligner(engine: Engine) -> tuple[Aligner | None, WordTimes, str]:
    """What finds the words of an engine that does not know their times; the kind of times that come out, and why."""
    if engine.exact:
        return None, "exact", ""
    from agent.voice.aligned import open_aligner

    try:
        return open_aligner(), "aligned", "found in the audio by our own ears"
    except ModelError as lacking:
        return None, "estimated", f"our own ears cannot find them: {lacking}"


class OwnerGone(Exception):
    """The other end of the socket is closed."""


@dataclass(frozen=True, slots=True, order=True)
class _Waiting:
    """A clause in the queue; compared by deadline, then by age."""

    deadline_s: float
    request: int
    job: ClauseJob = field(compare=False)
    said: Pcm | None = field(compare=False, default=None)
    """Its audio, where only its words are still to be found in it."""


class VoiceServer:
    """Speaks what its owner asks for: first the clause whose hearer runs out of audio first."""

    def __init__(
        self, sock: socket.socket, engine: Engine, aligner: Aligner | None = None, ready: bytes = READY
    ) -> None:
        """``ready``: the message that says so."""
        self._sock = sock
        self._engine = engine
        self._aligner = aligner
        self._ready = ready
        self._reader = FrameReader()
        self._queue: list[_Waiting] = []
        self._current = 0
        self._cancelled = False

    def run(self) -> None:
        """Serve until the owner goes."""
        try:
            self._send(self._ready)
            while True:
                while not self._queue:
                    self._receive()
                waiting = heapq.heappop(self._queue)
                self._current, self._cancelled = waiting.request, False
                if waiting.said is None:
                    self._say(waiting)
                else:
                    self._find_words(waiting, waiting.said)
                self._current = 0
        except (OwnerGone, BrokenPipeError, ConnectionResetError):
            return

    def _say(self, waiting: _Waiting) -> None:
        request = waiting.request
        pieces = _Pieces(self, request)
        try:
            self._engine.say(waiting.job, pieces.emit)
        except VoiceFailed as failed:
            self._send(pack(Kind.FAILED, request, str(failed).encode()))
            return
        if self._cancelled:
            return
        pieces.flush()
        if self._aligner is None:
            self._send(pack(Kind.END, request))
            return
        said = np.concatenate(pieces.said)
        deadline_s = waiting.deadline_s + said.size / RATE_HZ / 2  # half of it has been heard
        heapq.heappush(self._queue, _Waiting(deadline_s, request, waiting.job, said))

    def _find_words(self, waiting: _Waiting, said: Pcm) -> None:
        """Put the clause's word times right, unless a more urgent one comes: then later, from the beginning."""
        assert self._aligner is not None
        why = ""
        try:
            times = self._aligner.times(waiting.job, said, lambda: self.wanted() and not self._is_urgent(waiting))
        except NotAligned as stays:
            why = str(stays)
        else:
            if self._cancelled:
                return
            if times is None:
                heapq.heappush(self._queue, waiting)
                return
            self._send(pack_times(waiting.request, times))
        self._send(pack(Kind.END, waiting.request, why.encode()))

    def _is_urgent(self, than: _Waiting) -> bool:
        return bool(self._queue) and self._queue[0] < than

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
        self.said: list[Pcm] = []
        self._held: list[Pcm] = []
        self._size, self._target = 0, FIRST_PIECE

    def emit(self, pcm: Pcm, times: Times | None) -> bool:
        if times is not None:
            self._server.send(pack_times(self._request, times))
        self.said.append(pcm)
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
        speaks = warm(make_engine(engine, name))
    except VoiceFailed as failed:
        sock.sendall(pack(Kind.FAILED, 0, str(failed).encode()))
        return
    aligner, word_times, why = make_aligner(speaks)
    VoiceServer(sock, speaks, aligner, pack_ready(word_times, why)).run()


def warm(engine: Engine) -> Engine:
    """Speak once into nothing: the first call loads pages and data."""
    engine.say(WARM_UP, lambda _pcm, _times: True)
    return engine
