"""Piper as a program of its own: GPL-3.0, so it is started by its command line and never imported.

``piper --model VOICE --output-dir DIR`` reads a line of text from standard input, writes ``DIR/NAME.wav`` and says so
on standard error (``piper-tts`` 1.3 and later; the older C++ program says it on standard output). One clause, one
line, one file.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import subprocess
import tempfile
import time
import wave
from pathlib import Path
from typing import IO, Final

import numpy as np

from agent.errors import VoiceFailed
from agent.voice.engine import ClauseJob, Emit, spread
from agent.voice.shape import Floats, Pcm
from agent.voice.timing import estimate
from agent.voice.whole import telephone

GAIN: Final = 0.5
"""Piper brings every sentence to full scale: this puts its peak at -6 dBFS."""
START_S: Final = 30.0
CLAUSE_S: Final = 20.0
"""Longer and the program is ended."""
MOST_TOLD: Final = 4000
"""Characters of its last words that are kept for the error."""


def files_of(folder: str) -> Path:
    """The voice's ONNX file, which has its ``.onnx.json`` beside it. Raises ``VoiceFailed``."""
    root = Path(folder)
    if not folder or not root.is_dir():
        raise VoiceFailed(f"voice.model: {folder or 'nothing'} is not a folder; crosstalk pull piper-ljspeech-medium")
    voices = sorted(root.glob("*.onnx"))
    if not voices:
        raise VoiceFailed(f"voice.model: {folder} holds no *.onnx")
    config = Path(f"{voices[0]}.json")
    if not config.is_file():
        raise VoiceFailed(f"voice.model: {folder} holds no {config.name}")
    return voices[0]


def missing(folder: str, program: str) -> str | None:
    """Why Piper cannot be had, or ``None``. Starts nothing."""
    if shutil.which(program) is None:
        return f"the program {program!r} is not here"
    try:
        files_of(folder)
    except VoiceFailed as lacking:
        return str(lacking)
    return None


class _Ended(VoiceFailed):
    """The program has ended."""


class PiperEngine:
    """One Piper process, started again when it has died. It ends with ours: its standard input closes."""

    exact = False

    def __init__(self, folder: str, program: str) -> None:
        self._voice = files_of(folder)
        found = shutil.which(program)
        if found is None:
            raise VoiceFailed(f"piper: the program {program!r} is not here")
        self._program = found
        self._folder = tempfile.TemporaryDirectory(prefix="crosstalk-piper-", dir=_memory())
        self._process: _Process | None = None

    def say(self, job: ClauseJob, emit: Emit) -> None:
        running = self._process is not None
        try:
            pcm = self._speak(job.text)
        except _Ended:
            if not running:
                raise
            pcm = self._speak(job.text)  # it died since the last clause: nothing was said of this one
        words = job.text.rstrip(".,!?").split()
        emit(pcm, spread(job.words, estimate(words, pcm)))

    def _speak(self, text: str) -> Pcm:
        """Telephone speech of one line. Raises ``VoiceFailed``; the program is started again for the next line then."""
        fresh = self._process is None
        process = self._process or _Process(self._program, self._voice, Path(self._folder.name))
        self._process = None
        try:
            samples, rate_hz = _read(process.ask(text, START_S + CLAUSE_S if fresh else CLAUSE_S))
            pcm = telephone(samples, rate_hz, GAIN)
            if not pcm.size:
                raise VoiceFailed("piper gave no audio")
        except VoiceFailed:
            process.end()
            raise
        self._process = process
        return pcm

    def stop(self) -> None:
        """End the program; the next clause starts it again."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def close(self) -> None:
        self.stop()
        self._folder.cleanup()


class _Process:
    """The running program and what it says."""

    def __init__(self, program: str, voice: Path, folder: Path) -> None:
        command = [program, "--model", str(voice), "--output-dir", str(folder)]
        try:
            self._popen = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder
            )
        except OSError as refused:
            raise VoiceFailed(f"piper cannot be started: {refused}") from None
        self._folder = folder
        self._told = ""
        assert self._popen.stdout is not None
        os.set_blocking(self._popen.stdout.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._popen.stdout, selectors.EVENT_READ)

    def ask(self, text: str, within_s: float) -> Path:
        """The file in which ``text`` is spoken. Raises ``VoiceFailed``."""
        stdin: IO[bytes] = self._pipe(self._popen.stdin)
        self._told = ""
        try:
            stdin.write(text.replace("\n", " ").encode() + b"\n")
            stdin.flush()
        except OSError:
            raise _Ended(f"piper has ended: {self._last_words()}") from None
        deadline = time.monotonic() + within_s
        while (path := self._written()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise VoiceFailed(f"piper said nothing within {within_s:g} s")
            if self._selector.select(left) and not self._hear():
                raise _Ended(f"piper has ended: {self._last_words()}")
        return path

    def _hear(self) -> bool:
        """Read what it says. False: its output is closed."""
        data = os.read(self._pipe(self._popen.stdout).fileno(), 65536)
        self._told = (self._told + data.decode(errors="replace"))[-MOST_TOLD:]
        return bool(data)

    def _written(self) -> Path | None:
        """The file that a whole line of its output names."""
        for line in self._told.splitlines(keepends=True):
            if line.endswith("\n") and line.rstrip().endswith(".wav"):
                path = Path(line.rstrip().rpartition(" ")[2])
                if path.parent == self._folder:
                    return path
        return None

    def _last_words(self) -> str:
        with contextlib.suppress(BlockingIOError, OSError):
            self._hear()
        lines = self._told.strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def end(self) -> None:
        self._selector.close()
        for pipe in (self._popen.stdin, self._popen.stdout):
            with contextlib.suppress(OSError):
                self._pipe(pipe).close()
        self._popen.kill()
        self._popen.wait()

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe


def _read(path: Path) -> tuple[Floats, int]:
    """Samples in [-1, 1] and their rate; the file is deleted. Raises ``VoiceFailed``."""
    try:
        with wave.open(str(path), "rb") as sound:
            if sound.getsampwidth() != 2 or sound.getnchannels() != 1:
                raise VoiceFailed("piper gave audio that is not mono with 16 bits")
            rate_hz, data = sound.getframerate(), sound.readframes(sound.getnframes())
    except (OSError, EOFError, wave.Error) as broken:
        raise VoiceFailed(f"piper's file cannot be read: {broken}") from None
    finally:
        path.unlink(missing_ok=True)
    return np.frombuffer(data, "<i2").astype(np.float64) / 32768.0, rate_hz


def _memory() -> str | None:
    """A folder in memory where there is one: each clause is a file for a moment."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
