"""SVOX Pico from its wheel: clearest of the small voices on a telephone; no word times, a whole clause at once.

Traps (measured): clips at its own default volume; half a second of silence behind each text; holds the interpreter's
lock for the whole call, so that only a process of its own may call it.
"""

from __future__ import annotations

import importlib.util
from typing import Any, Final

import numpy as np

from agent.errors import VoiceFailed
from agent.voice.engine import ClauseJob, Emit, spread
from agent.voice.shape import Cutter, Halver, speech_bounds
from agent.voice.timing import estimate

NAMES: Final = ("en-US", "en-GB")
"""The wheel has more languages; our numbers are spelled in English."""
VOLUME: Final = 0.6
GAIN: Final = {"en-US": 0.63, "en-GB": 0.81}
"""Puts the usual peak of a clause near -6 dBFS at ``VOLUME``."""
FRAME: Final = 160
SILENT: Final = 110.0
"""rms of 10 ms at 16 kHz under which the edges of a clause are cut off."""
LEAD, TAIL = 160, 320


def missing() -> str | None:
    """Why Pico cannot be had, or ``None``."""
    return None if importlib.util.find_spec("py_nanotts") else "the package py-nanotts is not installed"


class PicoEngine:
    """One Pico voice."""

    exact = False

    def __init__(self, name: str) -> None:
        if name not in NAMES:
            raise VoiceFailed(f"pico has no voice {name!r}; known: {', '.join(NAMES)}")
        try:
            import py_nanotts
        except ImportError as absent:
            raise VoiceFailed(f"pico is not installed ({absent})") from None
        self._name = name
        self._pico: Any = py_nanotts.NanoTTS()

    def say(self, job: ClauseJob, emit: Emit) -> None:
        try:
            raw = self._pico.speak(job.text, voice=self._name, volume=VOLUME)
        except (RuntimeError, ValueError, OSError) as broken:
            raise VoiceFailed(f"pico failed: {broken}") from None
        samples = np.frombuffer(raw[: len(raw) // 2 * 2], np.int16)
        first, last = speech_bounds(samples, frame=FRAME, level=SILENT)
        if last <= first:
            raise VoiceFailed("pico gave no audio")
        kept = samples[max(0, first - LEAD) : min(samples.size, last + TAIL)]
        halver = Halver()
        halved = np.concatenate((halver.push(kept), halver.flush()))
        pcm = Cutter(0, halved.size, GAIN[self._name]).push(halved)
        words = job.text.rstrip(".,!?").split()
        emit(pcm, spread(job.words, estimate(words, pcm)))
