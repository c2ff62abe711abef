"""Recordings of calls: a process that gets frames from a worker over a socket and streams them to disk.

Two channels, left the caller, right the agent as played out. The worker never waits: what does not fit into the
socket is dropped and the recording is marked as truncated. A file gets its name when it is whole; then the process
says so.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import wave
from collections import deque
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telephony.link import FRAME_SAMPLES, RESTARTED

OPEN, AUDIO, CLOSE = b"O", b"A", b"C"
DONE, FAILED = b"D", b"F"
"""Answers to ``CLOSE``: the file is there, or it is not."""
_HEAD: Final = struct.Struct("<cI")  # kind, recording (audio: number of rows)
_SEND_BYTES: Final = 2 * 1024 * 1024
_MAX_ROWS: Final = 64
"""Rows of one audio message: 64 rows are 41 kB, well under a datagram's limit."""
_MAX_PENDING: Final = 1024
"""Openings and closings that wait for a recorder that does not read; beyond, recordings are given up."""
_FRAME_BYTES: Final = FRAME_SAMPLES * 4


class RecorderLink:
    """The worker's end. Never blocks. The process is started with the first recording."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pending: deque[bytes] = deque()
        self._truncated: set[int] = set()
        self._open: set[int] = set()
        self._places: dict[int, tuple[int, int]] = {}
        """Recording to the tick of its first frame and of its last."""
        self._closing: set[int] = set()
        self._next = 1

    def open(self, path: str) -> int:
        """Begin a recording at ``path``; returns its number."""
        number, self._next = self._next, self._next + 1
        self._open.add(number)
        self._start()
        self._control(_HEAD.pack(OPEN, number) + path.encode())
        return number

    def write(self, numbers: list[int], tick: int, caller: NDArray[np.int16], agent: NDArray[np.int16]) -> None:
        """One frame of each recording: ``caller`` and ``agent`` are ``[n, 160]``, of the media clock's ``tick``."""
        for at in range(0, len(numbers), _MAX_ROWS):
            part = slice(at, at + _MAX_ROWS)
            self._write(numbers[part], tick, np.stack([caller[part], agent[part]], axis=2))

    def close(self, number: int) -> bool:
        """End a recording; true if parts of it are missing. ``closed`` tells later what became of its file."""
        self._open.discard(number)
        self._places.pop(number, None)
        self._closing.add(number)
        self._control(_HEAD.pack(CLOSE, number))
        truncated = number in self._truncated
        self._truncated.discard(number)
        return truncated

    @property
    def awaits(self) -> bool:
        """Recordings have been ended whose files are not known to be there yet."""
        return bool(self._closing)

    def closed(self) -> list[tuple[int, bool]]:
        """Recordings whose end is known by now: number, and whether the file is there. Never blocks."""
        if not self._closing:
            return []
        self._flush()
        found: list[tuple[int, bool]] = []
        try:
            while self._socket is not None and (answer := self._socket.recv(_HEAD.size)):
                kind, number = _HEAD.unpack(answer)
                found.append((number, kind == DONE))
        except BlockingIOError:
            pass
        except OSError:
            found += [(number, False) for number in self._closing]
        self._closing -= {number for number, _ in found}
        return found

    def forget(self, number: int) -> None:
        """Its end is waited for no longer."""
        self._closing.discard(number)

    def stop(self) -> None:
        """Close the socket: the process ends its files and goes."""
        self._flush()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            try:
                self._process.wait(timeout=2.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _write(self, numbers: list[int], tick: int, stereo: NDArray[np.int16]) -> None:
        at = [self._place(number, tick) for number in numbers]
        head = _HEAD.pack(AUDIO, len(numbers)) + struct.pack(f"<{2 * len(numbers)}I", *numbers, *at)
        if not self._flush() or not self._send(head + stereo.astype("<i2", copy=False).tobytes()):
            self._truncated.update(numbers)

    def _place(self, number: int, tick: int) -> int:
        """Frame of the file: by the tick, so that what never came is silence and the times stay the timeline's."""
        first, last = self._places.get(number, (tick, tick - 1))
        if not 0 < tick - last <= RESTARTED:  # another edge, another count: it goes on right behind
            first += tick - last - 1
        self._places[number] = first, tick
        return tick - first

    def _control(self, message: bytes) -> None:
        self._pending.append(message)
        if len(self._pending) > _MAX_PENDING:
            self._pending.popleft()
        self._flush()

    def _flush(self) -> bool:
        """Send what waits; false if something still does."""
        while self._pending:
            if not self._send(self._pending[0]):
                return False
            self._pending.popleft()
        return True

    def _send(self, message: bytes) -> bool:
        if self._socket is None:
            return False
        try:
            self._socket.send(message)
        except BlockingIOError:
            return False
        except OSError:  # the recorder has died: recordings under way are lost, the next one starts another
            self._truncated.update(self._open)
            self._socket.close()
            self._socket = None
            return False
        return True

    def _start(self) -> None:
        if self._socket is not None:
            return
        if self._process is not None:
            self._process.wait()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        code = "from agent.pool.recorder import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
        )
        theirs.close()
        self._socket = ours


class Recorder:
    """The files. Fed with the link's messages."""

    def __init__(self) -> None:
        self._files: dict[int, tuple[wave.Wave_write, Path]] = {}
        self._frames: dict[int, int] = {}

    def take(self, message: bytes) -> bytes:
        """One message, and what is to be answered; a file that cannot be opened or written is given up alone."""
        kind, number = _HEAD.unpack_from(message)
        if kind == OPEN:
            self._open(number, Path(message[_HEAD.size :].decode()))
        elif kind == AUDIO:
            self._write(number, message)
        elif kind == CLOSE:
            return _HEAD.pack(DONE if self._close(number) else FAILED, number)
        return b""

    def close(self) -> None:
        """End all files: the worker is gone."""
        for number in list(self._files):
            self._close(number)

    def _open(self, number: int, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = wave.open(f"{path}.part", "wb")  # noqa: SIM115  closed by ``_close``
        except OSError:
            return
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        self._files[number], self._frames[number] = (file, path), 0

    def _write(self, rows: int, message: bytes) -> None:
        numbers = struct.unpack_from(f"<{2 * rows}I", message, _HEAD.size)
        at = _HEAD.size + 8 * rows
        for i, (number, frame) in enumerate(zip(numbers[:rows], numbers[rows:], strict=True)):
            if number not in self._files:
                continue
            file, _ = self._files[number]
            missing = frame - self._frames[number]
            try:
                if missing > 0:  # what was dropped is silence, so that the times stay right
                    file.writeframesraw(bytes(_FRAME_BYTES * missing))
                file.writeframesraw(message[at + i * _FRAME_BYTES : at + (i + 1) * _FRAME_BYTES])
            except OSError:
                self._close(number)
                continue
            self._frames[number] = frame + 1

    def _close(self, number: int) -> bool:
        entry = self._files.pop(number, None)
        if entry is None:
            return False
        file, path = entry
        try:
            file.close()
            os.replace(f"{path}.part", path)
        except OSError:
            return False  # the disk is full: the part stays as it is
        return True


def main() -> None:
    """The process: reads until the worker's end is closed. The socket's number is the only argument."""
    os.umask(0o077)  # what callers say is for the service's own user
    recorder = Recorder()
    with socket.socket(fileno=int(sys.argv[1])) as source:
        while message := source.recv(1024 * 1024):
            if answer := recorder.take(message):
                with contextlib.suppress(OSError):  # the worker is gone: there is nobody to tell
                    source.send(answer)
    recorder.close()
