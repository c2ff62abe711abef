"""A voice with others behind it: when it fails within a call, another engine says the rest.

What was said is known to the sample: the next voice begins with the first word that was not said whole. A voice that
has failed rests for a while, twice as long each time, and is then tried again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np

from agent.config import VoiceConfig
from agent.errors import ConfigError, VoiceFailed
from agent.voice.choose import Choice, choose
from agent.voice.clauses import split
from agent.voice.protocol import CallVoice, PerCallVoice, SpeechChunk, Voice, VoiceInfo, WordSpan
from telephony.clock import Clock

ORDER: Final = ("flite", "pico", "marker")
"""Exact word times first; tones in place of words last: they say at least that the line lives."""
FIRST_REST_S: Final = 5.0
LONGEST_REST_S: Final = 300.0

Told = Callable[[VoiceInfo, VoiceInfo | None, str], None]
"""Told of ``(voice that failed, voice that speaks now, why)``; no voice: none is left."""


def others(engine: str) -> list[Choice]:
    """What this host has beside ``engine``, best first."""
    found = []
    for other in ORDER:
        if other != engine:
            with suppress(ConfigError):
                found.append(choose(VoiceConfig(engine=other)))
    return found


@dataclass(slots=True)
class _Ready:
    """A voice and whether it rests."""

    voice: Voice
    started: bool = False
    failures: int = 0
    """In a row."""
    rests_until: float = 0.0

    def failed(self, now: float) -> None:
        self.rests_until = now + min(FIRST_REST_S * 2**self.failures, LONGEST_REST_S)
        self.failures += 1


class FallbackVoice:
    """Implements ``agent.voice.protocol.Voice``, and keeps a voice for each call where the first one does."""

    def __init__(self, first: Voice, behind: Sequence[Voice], *, clock: Clock, told: Told) -> None:
        self._ready = [_Ready(voice) for voice in (first, *behind)]
        self._clock = clock
        self._told = told
        self._live = self._ready[0]
        self._why = ""
        """Why the last change of the voice came about."""

    @property
    def info(self) -> VoiceInfo:
        """The voice that spoke last."""
        return self._live.voice.info

    @property
    def state(self) -> dict[str, Any]:
        """For ``/healthz``."""
        info, first = self.info, self._ready[0]
        shown: dict[str, Any] = {"name": info.name, "exact_word_times": info.exact_word_times, "why": info.why}
        if self._live is not first:
            shown |= {"why": self._why, "instead_of": first.voice.info.name, "failures": first.failures}
        return shown

    async def start(self) -> None:
        """Start the first voice. Raises ``VoiceFailed``: a service does not begin with a makeshift."""
        await self._ready[0].voice.start()
        self._ready[0].started = True

    async def preload(self, phrases: list[str]) -> None:
        await self._ready[0].voice.preload(phrases)

    async def stop(self) -> None:
        for ready in self._ready:
            await ready.voice.stop()

    def of_call(self, call_id: str) -> CallVoice:
        first = self._ready[0].voice
        return _OfCall(self, first.of_call(call_id) if isinstance(first, PerCallVoice) else None)

    async def speak(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        """Raises ``VoiceFailed`` when no voice is left."""
        async with aclosing(self.speak_by(None, text)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def speak_by(self, own: CallVoice | None, text: str) -> AsyncGenerator[SpeechChunk, None]:
        """As ``speak``; ``own``: what the first voice keeps for the call."""
        said = _Said(text)
        why: VoiceFailed | None = None
        for ready in self._in_order():
            speaker: Voice | CallVoice = own if own is not None and ready is self._ready[0] else ready.voice
            name = "" if ready is self._ready[0] else ready.voice.info.name
            try:
                await self._start(ready)
                chunks = cast("AsyncGenerator[SpeechChunk, None]", speaker.speak(said.rest))
                async with aclosing(chunks):
                    async for chunk in chunks:
                        self._speaks(ready, str(why) if why is not None else "it speaks again")
                        yield replace(said.shifted(chunk), voice=name)
            except VoiceFailed as failed:
                ready.failed(self._clock.now())
                why = failed
                said.cut()
                if said.is_over:
                    yield replace(said.end(), voice=name)
                    return
            else:
                ready.failures = 0
                return
        self._told(self.info, None, str(why))
        raise why or VoiceFailed("no voice")

    def _in_order(self) -> list[_Ready]:
        """Those that do not rest; where all do, all are tried."""
        now = self._clock.now()
        return [ready for ready in self._ready if ready.rests_until <= now] or self._ready

    async def _start(self, ready: _Ready) -> None:
        if not ready.started:
            ready.started = True  # calls that come meanwhile find its processes, or start them by speaking
            await ready.voice.start()

    def _speaks(self, ready: _Ready, why: str) -> None:
        if ready is not self._live:
            before, self._live, self._why = self._live, ready, why
            self._told(before.voice.info, ready.voice.info, why)


class _OfCall:
    """The voice as one call has it."""

    def __init__(self, voice: FallbackVoice, own: CallVoice | None) -> None:
        self._voice, self._own = voice, own

    def speak(self, text: str) -> AsyncIterator[SpeechChunk]:
        return self._voice.speak_by(self._own, text)

    def close(self) -> None:
        if self._own is not None:
            self._own.close()


class _Said:
    """What of a text was said, over all voices that had a part in it."""

    def __init__(self, text: str) -> None:
        self.rest = text
        """What is still to be said."""
        self._samples = 0
        self._from, self._clauses = 0, 0
        """Where the voice that speaks now began: sample and number of its first clause."""
        self._words: dict[int, tuple[WordSpan, ...]] = {}
        """Of the voice that speaks now, by its clauses."""
        self._mended: tuple[WordSpan, ...] = ()
        """Words of the clause in which the last voice failed, as far as they were said: they replace it."""

    @property
    def is_over(self) -> bool:
        return not self.rest

    def shifted(self, chunk: SpeechChunk) -> SpeechChunk:
        """The chunk with its words where they lie in the whole utterance."""
        self._samples += len(chunk.pcm)
        words = tuple(
            WordSpan(
                text=word.text,
                start=word.start + self._from,
                end=word.end + self._from,
                clause=word.clause + self._clauses,
            )
            for word in chunk.words
        )
        for clause in {word.clause for word in words}:
            self._words[clause] = tuple(word for word in words if word.clause == clause)
        mended, self._mended = self._mended, ()
        return SpeechChunk(chunk.pcm, mended + words, chunk.last)

    def cut(self) -> None:
        """The voice has failed: what it has said whole stays said."""
        whole = [word for clause in self._words.values() for word in clause if word.end <= self._samples]
        sources = [token.source for clause in split(self.rest) for token in clause.tokens]
        self.rest = " ".join(sources[len(whole) :])
        if self._words:
            last = max(self._words)
            self._mended = tuple(word for word in self._words[last] if word.end <= self._samples)
            self._clauses = last + 1 if self._mended else last
        self._from, self._words = self._samples, {}

    def end(self) -> SpeechChunk:
        """Nothing is left to say: the end that the voice owed."""
        return SpeechChunk(np.zeros(0, np.int16), self._mended, True)
