"""What a synthesiser is here: text in, 8 kHz speech with word times out. Synchronous; one process uses it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.simulator.energy import RATE_HZ
from agent.training.voices.spoken import Spoken, Word, trimmed
from agent.training.voices.warp import resampled
from agent.voice.timing import estimate
from telephony.audio.levels import to_int16


class Synth(Protocol):
    """One voice of one synthesiser."""

    def say(self, text: str, *, pace: float = 1.0, pitch: float = 1.0, mark: str = ".") -> Spoken:
        """Words of letters and apostrophes, without silence around them. Raises ``VoiceFailed``.

        ``pace`` above 1 is faster; ``mark`` is the punctuation behind the words, for their melody.
        """
        ...


def spoken_from(
    samples: NDArray[np.floating], rate_hz: int, words: list[str], seconds: list[tuple[float, float]] | None
) -> Spoken:
    """A synthesiser's samples (full scale 1) as telephone speech; without times they are estimated."""
    pcm = resampled(samples, round(samples.size * RATE_HZ / rate_hz))
    if seconds is not None and len(seconds) == len(words):
        timed = tuple(
            Word(text, round(a * RATE_HZ), round(b * RATE_HZ)) for text, (a, b) in zip(words, seconds, strict=True)
        )
        return trimmed(Spoken(pcm, timed))
    found = trimmed(Spoken(pcm))
    return with_estimate(found.pcm, words)


def with_estimate(pcm: NDArray[np.float32], words: list[str]) -> Spoken:
    """Trimmed speech with word times shared out by length and pauses."""
    times = estimate(words, to_int16(pcm)) if pcm.size and words else ()
    timed = tuple(Word(text, a, b) for text, (a, b) in zip(words, times, strict=False))
    return Spoken(pcm, timed, exact=False)


class Cached:
    """Remembers what was said last: prompts and short words come again and again. Changes no sample."""

    def __init__(self, synth: Synth, seconds: float = 600.0) -> None:
        self._synth, self._room = synth, round(seconds * RATE_HZ)
        self._kept: OrderedDict[tuple[str, float, float, str], Spoken] = OrderedDict()
        self._held = 0

    def say(self, text: str, *, pace: float = 1.0, pitch: float = 1.0, mark: str = ".") -> Spoken:
        key = (text, pace, pitch, mark)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        found = self._synth.say(text, pace=pace, pitch=pitch, mark=mark)
        self._kept[key] = found
        self._held += found.pcm.size
        while self._held > self._room and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._held -= oldest.pcm.size
        return found
