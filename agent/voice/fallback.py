"""A voice with others behind it: when it fails within a call, another engine says the rest.

What was said is known to the sample: the next voice begins with the first word that was not said whole. A voice that
has failed rests for a while, twice as long each time, and is then tried again. What a voice keeps for one call fails in
that call only: it is tried again at the next utterance, and after two failures in a row no more in this call.
"""

from __future__ import annotations

import math
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
MOST_FAILURES: Final = 2
"""In a row, of what a voice keeps for one call."""

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


def _rest_s(failures: int) -> float:
    """Of a voice for all calls, after so many failures in a row."""
    return min(FIRST_REST_S * 2.0 ** (failures - 1), LONGEST_REST_S)


def _rest_in_call_s(failures: int) -> float:
    """Of what a voice keeps for one call."""
    return math.inf if failures >= MOST_FAILURES else 0.0


@dataclass(slots=True, eq=False)
class _Ready:
    """A voice and whether it rests."""

    voice: Voice
    speaker: Voice | CallVoice
    """Who is asked: ``voice``, or what it keeps for a call."""
    rest_s: Callable[[int], float] = _rest_s
    started: bool = False
    failures: int = 0
    """In a row."""
    rests_until: float = 0.0

    def failed(self, now: float) -> None:
        self.failures += 1
        self.rests_until = now + self.rest_s(self.failures)


@dataclass(slots=True, eq=False)
class _Line:
    """Who speaks, in which order: one line for all calls, or one for a call."""

    order: list[_Ready]
    live: _Ready
    why: str = ""
    """Why the last change of the voice came about."""

    @property
    def is_makeshift(self) -> bool:
        return self.live is not self.order[0]


class FallbackVoice:
    """Implements ``agent.voice.protocol.Voice``, and keeps a voice for each call where the first one does."""

    def __init__(self, first: Voice, behind: Sequence[Voice], *, clock: Clock, told: Told, warm: int = 0) -> None:
        """``warm``: how many of those behind are started with the first one, not when they are needed."""
        self._ready = [_Ready(voice, voice) for voice in (first, *behind)]
        self._warm = self._ready[1 : 1 + warm]
        self._clock = clock
        self._told = told
        self._shared = _Line(self._ready, self._ready[0])
        self._lines: set[_Line] = set()
        """Of calls for which the first voice keeps something."""

    @property
    def info(self) -> VoiceInfo:
        """The voice that spoke last, for all calls."""
        return self._shared.live.voice.info

    @property
    def state(self) -> dict[str, Any]:
        """For ``/healthz``: the chosen voice, or one that speaks in place of it, be it in one call only."""
        line = next((line for line in (self._shared, *self._lines) if line.is_makeshift), self._shared)
        info, first = line.live.voice.info, line.order[0]
        shown: dict[str, Any] = {
            "name": info.name,
            "exact_word_times": info.exact_word_times,
            "word_times": info.word_times,
            "why": info.why,
        }
        if line.is_makeshift:
            shown |= {"why": line.why, "instead_of": first.voice.info.name, "failures": first.failures}
        return shown

    async def start(self) -> None:
        """Start the first voice. Raises ``VoiceFailed``: a service does not begin with a makeshift."""
        for ready in (self._ready[0], *self._warm):
            try:
                await ready.voice.start()
            except VoiceFailed:
                await self.stop()
                raise
            ready.started = True

    async def preload(self, phrases: list[str]) -> None:
        for ready in (self._ready[0], *self._warm):
            await ready.voice.preload(phrases)

    async def stop(self) -> None:
        for ready in self._ready:
            await ready.voice.stop()

    def of_call(self, call_id: str) -> CallVoice:
        first = self._ready[0].voice
        if not isinstance(first, PerCallVoice):
            return _OfCall(self, self._shared, lambda: None)
        own = first.of_call(call_id)
        ready = _Ready(first, own, rest_s=_rest_in_call_s, started=True)
        line = _Line([ready, *self._ready[1:]], ready)
        self._lines.add(line)

        def close() -> None:
            self._lines.discard(line)
            own.close()

        return _OfCall(self, line, close)

    async def speak(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        """Raises ``VoiceFailed`` when no voice is left."""
        async with aclosing(self.speak_by(self._shared, text)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def speak_by(self, line: _Line, text: str) -> AsyncGenerator[SpeechChunk, None]:
        """As ``speak``, with the voices of ``line``."""
        said = _Said(text)
        why: VoiceFailed | None = None
        for ready in self._in_order(line):
            name = "" if ready is line.order[0] else ready.voice.info.name
            try:
                await self._start(ready)
                chunks = cast("AsyncGenerator[SpeechChunk, None]", ready.speaker.speak(said.rest))
                async with aclosing(chunks):
                    async for chunk in chunks:
                        self._speaks(line, ready, str(why) if why is not None else "it speaks again")
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
        self._told(line.live.voice.info, None, str(why))
        raise why or VoiceFailed("no voice")

    def _in_order(self, line: _Line) -> list[_Ready]:
        """Those that do not rest; where all do, all are tried."""
        now = self._clock.now()
        return [ready for ready in line.order if ready.rests_until <= now] or line.order

    async def _start(self, ready: _Ready) -> None:
        if not ready.started:
            ready.started = True  # calls that come meanwhile find its processes, or start them by speaking
            await ready.voice.start()

    def _speaks(self, line: _Line, ready: _Ready, why: str) -> None:
        if ready is not line.live:
            before, line.live, line.why = line.live, ready, why
            self._told(before.voice.info, ready.voice.info, why)


class _OfCall:
    """The voice as one call has it."""

    def __init__(self, voice: FallbackVoice, line: _Line, close: Callable[[], None]) -> None:
        self._voice, self._line, self.close = voice, line, close

    def speak(self, text: str) -> AsyncIterator[SpeechChunk]:
        return self._voice.speak_by(self._line, text)


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
