"""espeak-ng as a caller: hundreds of accents and variants, formants unlike a human's: for variety and timing."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Final

import numpy as np

from agent.training.voices.program import Program
from agent.training.voices.spoken import Spoken
from agent.training.voices.synth import spoken_from

WORDS_PER_MINUTE: Final = 165
ACCENTS: Final = ("en-us", "en", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-029")
VARIANTS: Final = (
    "", "f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "Alex", "Andrea", "Andy", "Annie",
    "belinda", "benjamin", "boris", "caleb", "david", "Denis", "ed", "edward", "Gene", "Hugo", "Jacky", "john", "Lee",
    "linda", "Marco", "Mario", "max", "Michael", "Mike", "pablo", "paul", "pedro", "quincy", "rob", "robert", "steph",
    "steph2", "steph3", "travis", "victor", "zac", "anika", "aunty", "grandma", "grandpa", "klatt", "klatt2", "klatt3",
)  # fmt: skip
"""Without whispers, croaks and robots."""


@lru_cache(maxsize=1)
def _program() -> Program:
    return Program((sys.executable, "-m", "agent.training.voices.espeak_program"))


class EspeakVoice:
    """One accent with one variant, ``en-us+f2``; starts of words are exact."""

    def __init__(self, name: str, *, base_pitch: int = 50, spread: int = 50) -> None:
        self._name, self._pitch, self._range = name, base_pitch, spread

    def say(self, text: str, *, pace: float = 1.0, pitch: float = 1.0, mark: str = ".") -> Spoken:
        words = text.split()
        answer, body = _program().ask(
            {
                "text": text + mark,
                "voice": self._name,
                "rate": round(WORDS_PER_MINUTE * pace),
                "pitch": int(np.clip(self._pitch + 60 * np.log2(pitch), 5, 95)),
                "range": self._range,
            }
        )
        samples = np.frombuffer(body, np.int16).astype(np.float32) / 32768
        starts = [ms / 1000 for ms in answer["words_ms"]]
        ends = [*starts[1:], samples.size / answer["rate_hz"]]
        return spoken_from(samples, answer["rate_hz"], words, list(zip(starts, ends, strict=True)))
