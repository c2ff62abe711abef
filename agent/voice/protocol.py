"""Voice: streaming text to speech with word times."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

WordTimes = Literal["exact", "aligned", "estimated"]
"""Known by the voice; found in its audio by our own ears; shared out by length and pauses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordSpan:
    """One word of an utterance and where its audio lies, in 8 kHz samples from the utterance's start."""

    text: str
    start: int
    end: int
    """First sample after the word."""
    clause: int = 0
    """Index of the clause that the word belongs to."""


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """A piece of an utterance: audio, and the words whose audio *begins* in this or a later chunk of the clause."""

    pcm: NDArray[np.int16]
    """8 kHz mono."""
    words: tuple[WordSpan, ...]
    """All words of a clause come with its first chunk; ``start`` and ``end`` count from the utterance's start.

    A voice that learns the times later sends the words of the clause again: they replace the earlier ones."""
    last: bool
    """Nothing follows in this utterance."""
    voice: str = ""
    """Name of the voice that speaks in place of the chosen one; empty: it speaks itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceInfo:
    """Which voice is live."""

    name: str
    """``flite:rms``, ``pico:en-US``, ``marker``."""
    word_times: WordTimes
    why: str
    """Why this one was chosen, for start-up output and ``/healthz``."""

    @property
    def exact_word_times(self) -> bool:
        """The voice itself knows them."""
        return self.word_times == "exact"


class Voice(Protocol):
    """One voice for all calls. ``speak`` is cancellable: closing the iterator stops the synthesis."""

    @property
    def info(self) -> VoiceInfo: ...

    async def start(self) -> None:
        """Start the process and warm it up. Raises ``VoiceFailed``."""
        ...

    def speak(self, text: str) -> AsyncIterator[SpeechChunk]:
        """Speak ``text`` clause by clause. Cached phrases come at once, whole."""
        ...

    async def preload(self, phrases: list[str]) -> None:
        """Render phrases into the cache ahead of time (greetings, fixed prompts)."""
        ...

    async def stop(self) -> None: ...


class CallVoice(Protocol):
    """A voice as one call has it."""

    def speak(self, text: str) -> AsyncIterator[SpeechChunk]: ...

    def close(self) -> None:
        """The call is over."""
        ...


@runtime_checkable
class PerCallVoice(Protocol):
    """A voice that keeps something for each call. Optional: what is no such voice is shared by all calls."""

    def of_call(self, call_id: str) -> CallVoice:
        """Begin to get ready for a call, which then speaks by what is returned."""
        ...
