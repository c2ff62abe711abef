"""Whisper by faster-whisper (CTranslate2), from a folder that ``crosstalk pull`` brought. Never asks a hub.

Speech is found first (Silero, inside that package): on silence and noise Whisper makes up words.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from agent.pull.catalogue import Kind
from agent.pull.layout import absent
from agent.transcribe.errors import TranscriptFailed
from agent.transcribe.recording import RATE_HZ, Sound
from agent.transcribe.said import Word

VAD: Final = {"min_silence_duration_ms": 500, "speech_pad_ms": 200, "min_speech_duration_ms": 150}
"""Short answers count on a telephone; 200 ms around them keep weak beginnings."""


def words_of(parts: Iterable[Any]) -> list[Word]:
    """The model's parts of words (``word start end probability``) as whole words: a new one begins with a space."""
    words: list[Word] = []
    for part in parts:
        text, end_s, probability = str(part.word), float(part.end), float(part.probability)
        if words and text.strip() and not text.startswith(" "):  # "Mm" and "-hmm."
            last = words.pop()
            joined, sure = last.text + text.strip(), min(last.probability, probability)
            words.append(Word(text=joined, start_s=last.start_s, end_s=end_s, probability=sure))
        elif text.strip():
            words.append(Word(text=text.strip(), start_s=float(part.start), end_s=end_s, probability=probability))
    return words


class Whisper:
    """One loaded model."""

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        """Raises ``TranscriptFailed`` that names what is missing or damaged."""
        if not folder.is_dir():
            raise TranscriptFailed(f"{folder} is not a folder with a model (crosstalk pull --list)")
        lacks = absent(folder, Kind.WHISPER)
        if lacks:  # the package would fetch what is missing
            raise TranscriptFailed(f"{folder} is no Whisper model: it lacks {', '.join(lacks)}")
        try:
            from faster_whisper import WhisperModel
            from faster_whisper.vad import VadOptions, get_speech_timestamps
        except ImportError as missing:
            raise TranscriptFailed(
                f"faster-whisper is not installed ({missing}): pip install 'crosstalk-voice[whisper]'"
            ) from None
        try:
            self._model: Any = WhisperModel(
                str(folder), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
            )
        except Exception as broken:  # the libraries raise bare RuntimeError and Exception of their own making
            raise TranscriptFailed(f"{folder} cannot be loaded (truncated or wrong files): {broken}") from None
        self._options = VadOptions(**VAD)
        self._find_speech = get_speech_timestamps

    def words(self, sound: Sound, language: str | None) -> list[Word]:
        """Words of one speaker, in order. Raises ``TranscriptFailed``."""
        try:
            if sound.size < RATE_HZ // 10 or not self._find_speech(sound, self._options):
                return []
            segments, _ = self._model.transcribe(
                sound,
                language=language,
                beam_size=5,
                word_timestamps=True,
                condition_on_previous_text=False,
                vad_filter=True,
                vad_parameters=self._options,
            )
            return words_of(word for segment in segments for word in segment.words or ())
        except Exception as broken:  # an unknown language, a model that does not fit its vocabulary
            raise TranscriptFailed(f"the model failed: {broken}") from None
