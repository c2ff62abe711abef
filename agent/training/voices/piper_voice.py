"""Piper as a caller: nearest to a human of the voices here, so kept for validation. A program of its own (GPL-3)."""

from __future__ import annotations

import numpy as np

from agent.training.voices.spoken import Spoken, Word, scaled_times, trimmed
from agent.training.voices.warp import stretched
from agent.voice.engine import ClauseJob, Times
from agent.voice.piper import PiperEngine
from telephony.audio.levels import to_float

PROGRAM = "piper"


class PiperVoice:
    """The voice of one folder (``*.onnx`` and its ``.json``); word times are estimated."""

    def __init__(self, folder: str) -> None:
        self._engine = PiperEngine(folder, PROGRAM)

    def say(self, text: str, *, pace: float = 1.0, pitch: float = 1.0, mark: str = ".") -> Spoken:
        pieces: list[np.ndarray] = []
        times: list[Times] = []

        def take(pcm: np.ndarray, found: Times | None) -> bool:
            pieces.append(pcm)
            if found is not None:
                times.append(found)
            return True

        words = tuple(text.split())
        self._engine.say(ClauseJob(words, mark, 0), take)
        pcm = to_float(np.concatenate(pieces))
        timed = tuple(Word(word, a, b) for word, (a, b) in zip(words, times[0] if times else (), strict=False))
        if pace != 1.0:
            pcm = stretched(pcm, 1 / pace)
            timed = scaled_times(timed, 1 / pace)
        return trimmed(Spoken(pcm, timed, exact=False))
