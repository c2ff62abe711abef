"""The owner's end of one voice process: start, requests, death. Lives in the event loop, without tasks.

The socket is watched with ``add_reader``: a voice process that dies is seen at once, and its open requests are told.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.errors import VoiceFailed
from agent.voice.engine import ClauseJob
from agent.voice.wire import Frame, FrameReader, Kind, pack, pack_job

Spawn = Callable[[socket.socket], "subprocess.Popen[bytes]"]
"""Starts a voice process on its end of a socket pair."""
ROOT: Final = Path(__file__).resolve().parents[2]
MOST_FRAMES: Final = 2048
"""Frames of one clause that wait for their hearer: minutes of speech, never reached by a clause."""
BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from agent.voice.process import main; "
    "main(int(sys.argv[2]), sys.argv[3], sys.argv[4])"
)
"""Started by path, not by module name: the packages may be a checkout that only the parent's ``sys.path`` knows."""


def spawner(engine: str, name: str) -> Spawn:
    """Starts a process of one of our own engines."""

    def spawn(link: socket.socket) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-c", BOOT, str(ROOT), str(link.fileno()), engine, name]
        return subprocess.Popen(command, pass_fds=(link.fileno(),), stdin=subprocess.DEVNULL)

    return spawn


class Request:
    """One clause that a process speaks."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue(MOST_FRAMES)

    def put(self, frame: Frame | None) -> None:
        """A frame of the process, or ``None``: it died."""
        if self._frames.full():
            return  # the clause is far beyond anything spoken: its hearer runs into the end of what was kept
        self._frames.put_nowait(frame)

    async def next(self, timeout_s: float) -> Frame | None:
        """Next frame; ``None`` when the process died. Raises ``TimeoutError``."""
        async with asyncio.timeout(timeout_s):
            return await self._frames.get()


class VoiceWorker:
    """One process. ``on_death`` is called once when it ends without having been closed."""

    def __init__(self, spawn: Spawn, *, on_death: Callable[[VoiceWorker], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_death = on_death
        self._requests: dict[int, Request] = {}
        self._number = 0
        self._reader = FrameReader()
        self._boot = Request(0)
        self._requests[0] = self._boot
        self._heard_at = self._loop.time()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self._process = spawn(theirs)
        self._sock = ours
        self.alive = True
        self._loop.add_reader(ours, self._readable)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def open_requests(self) -> int:
        return len(self._requests)

    def silent_s(self) -> float:
        """For how long the process has said nothing to anybody."""
        return self._loop.time() - self._heard_at

    async def ready(self, timeout_s: float) -> bytes:
        """Wait for the engine; what it says of itself. Raises ``VoiceFailed``."""
        try:
            frame = await self._boot.next(timeout_s)
        except TimeoutError:
            raise VoiceFailed(f"the voice process was not ready within {timeout_s:g} s") from None
        if frame is None:
            raise VoiceFailed("the voice process ended at its start")
        if frame.kind is Kind.FAILED:
            raise VoiceFailed(frame.payload.decode())
        return frame.payload

    def speak(self, job: ClauseJob, slack_ms: int) -> Request:
        """Ask for one clause. Raises ``VoiceFailed`` when the process takes nothing more."""
        return self.ask(lambda number: pack_job(number, job, slack_ms))

    def ask(self, packed: Callable[[int], bytes]) -> Request:
        """As ``speak``: ``packed(number)`` is the message."""
        self._number += 1
        request = Request(self._number)
        self._requests[request.number] = request
        self._send(packed(request.number))
        return request

    def tell(self, kind: Kind, payload: bytes) -> None:
        """A message without an answer; one that cannot be sent is not missed, the process is about to be replaced."""
        if self.alive:
            with suppress(VoiceFailed):
                self._send(pack(kind, 0, payload))

    def finish(self, request: Request, *, cancel: bool) -> None:
        """The hearer is done with ``request``; ``cancel``: before its end."""
        if self._requests.pop(request.number, None) is not None and cancel and self.alive:
            with suppress(VoiceFailed):  # a process that cannot be told is on its way out
                self._send(pack(Kind.CANCEL, request.number))

    def kill(self) -> None:
        """End a process that does not answer; its death is then seen as any other."""
        self._process.kill()

    async def close(self, timeout_s: float = 2.0) -> None:
        """Let the process end, kill it when it does not."""
        self._detach()
        deadline = self._loop.time() + timeout_s
        while self._process.poll() is None:
            if self._loop.time() > deadline:
                self._process.kill()
            await asyncio.sleep(0.005)

    def _send(self, data: bytes) -> None:
        """Requests are a few hundred bytes: a socket that cannot take one means a process that is stuck."""
        try:
            sent = self._sock.send(data)
        except OSError as full:
            raise VoiceFailed(f"the voice process takes no more requests ({full})") from None
        if sent != len(data):
            self.kill()
            raise VoiceFailed("the voice process is stuck")

    def _readable(self) -> None:
        try:
            data = self._sock.recv(262_144)
            if data:
                self._heard_at = self._loop.time()
                for frame in self._reader.feed(data):
                    self._dispatch(frame)
                return
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, ValueError):
            self._process.kill()
        self._died()

    def _dispatch(self, frame: Frame) -> None:
        request = self._requests.get(frame.request)
        if request is not None:  # a cancelled request's last pieces find nobody
            request.put(frame)
        if frame.request == 0:
            self._requests.pop(0, None)

    def _died(self) -> None:
        self._detach()
        self._process.kill()  # its socket is closed, so it has ended or is about to
        self._process.wait()
        requests, self._requests = list(self._requests.values()), {}
        for request in requests:
            request.put(None)
        self._on_death(self)

    def _detach(self) -> None:
        if self.alive:
            self.alive = False
            self._loop.remove_reader(self._sock)
            self._sock.close()
