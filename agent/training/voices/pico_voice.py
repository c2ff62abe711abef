"""SVOX Pico as a caller: six voices; those of other languages say digits and yes and no from respelt words."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from agent.errors import VoiceFailed
from agent.training.voices.spoken import Spoken
from agent.training.voices.synth import spoken_from

ENGLISH: Final = ("en-US", "en-GB")
VOLUME: Final = 0.6
RESPELT: Final[dict[str, dict[str, str]]] = {
    "de-DE": {
        "zero": "siero", "oh": "oh", "one": "wann", "two": "tu", "three": "sri", "four": "fohr", "five": "faif",
        "six": "six", "seven": "sewen", "eight": "eht", "nine": "nain", "yes": "jes", "no": "noh", "double": "dabbel",
    },
    "es-ES": {
        "zero": "sirou", "oh": "ou", "one": "uan", "two": "tu", "three": "zri", "four": "for", "five": "faiv",
        "six": "sics", "seven": "seven", "eight": "eit", "nine": "nain", "yes": "yes", "no": "nou", "double": "dabol",
    },
    "fr-FR": {
        "zero": "ziro", "oh": "o", "one": "ouane", "two": "tou", "three": "sri", "four": "faure", "five": "faïve",
        "six": "sixe", "seven": "sévenne", "eight": "éïte", "nine": "naïne", "yes": "yesse", "no": "no",
        "double": "dabeul",
    },
    "it-IT": {
        "zero": "zirou", "oh": "ou", "one": "uan", "two": "tu", "three": "tri", "four": "for", "five": "faiv",
        "six": "sics", "seven": "seven", "eight": "eit", "nine": "nain", "yes": "ies", "no": "nou", "double": "dabol",
    },
}  # fmt: skip
"""How the voice of another language has to read an English word: an accent, for digit answers."""
PUBLIC_NAMES: Final = (*ENGLISH, *RESPELT)


class PicoVoice:
    """One Pico voice; word times are estimated from lengths and pauses."""

    def __init__(self, name: str) -> None:
        try:
            import py_nanotts
        except ImportError as absent:
            raise VoiceFailed(f"pico is not installed ({absent})") from None
        self._name = name
        self._respelt = RESPELT.get(name)
        self._pico: Any = py_nanotts.NanoTTS()

    def can_say(self, text: str) -> bool:
        """Whether this voice knows all the words."""
        return self._respelt is None or all(word in self._respelt for word in text.split())

    def say(self, text: str, *, pace: float = 1.0, pitch: float = 1.0, mark: str = ".") -> Spoken:
        words = text.split()
        read = " ".join(self._respelt.get(word, word) for word in words) if self._respelt else text
        try:
            raw = self._pico.speak(read + mark, voice=self._name, volume=VOLUME, speed=pace, pitch=pitch)
        except (RuntimeError, ValueError, OSError) as broken:
            raise VoiceFailed(f"pico failed: {broken}") from None
        samples = np.frombuffer(raw[: len(raw) // 2 * 2], np.int16).astype(np.float32) / 32768
        return spoken_from(samples, 16000, words, None)
