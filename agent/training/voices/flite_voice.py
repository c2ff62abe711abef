"""flite as a caller: the product's own engine, with its pace and melody changed per utterance."""

from __future__ import annotations

import ctypes

import numpy as np

from agent.training.voices.spoken import Spoken, Word, trimmed
from agent.voice.engine import ClauseJob, Times
from agent.voice.flite import BASE_LIBRARIES, FliteEngine
from telephony.audio.levels import to_float


class _Varied(FliteEngine):
    """``duration_stretch`` and ``f0_shift`` are features of the voice that flite reads for each utterance."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._set = ctypes.CDLL(BASE_LIBRARIES[0]).feat_set_float
        self._set.argtypes, self._set.restype = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float), None
        self._diphones = name.startswith("kal")

    def vary(self, pace: float, pitch: float) -> None:
        features = self._voice.contents.features
        self._set(features, b"duration_stretch", 1 / pace)
        if self._diphones:
            self._set(features, b"int_f0_target_mean", 95.0 * pitch)
        else:
            self._set(features, b"f0_shift", pitch)


class FliteVoice:
    """One flite voice; word times are exact."""

    def __init__(self, name: str) -> None:
        self._engine = _Varied(name)

    def say(self, text: str, *, pace: float = 1.0, pitch: float = 1.0, mark: str = ".") -> Spoken:
        self._engine.vary(pace, pitch)
        pieces: list[np.ndarray] = []
        times: list[Times] = []

        def take(pcm: np.ndarray, found: Times | None) -> bool:
            pieces.append(pcm)
            if found is not None:
                times.append(found)
            return True

        words = tuple(text.split())
        self._engine.say(ClauseJob(words, mark, 0), take)
        timed = tuple(Word(word, a, b) for word, (a, b) in zip(words, times[0] if times else (), strict=False))
        return trimmed(Spoken(to_float(np.concatenate(pieces)), timed))
