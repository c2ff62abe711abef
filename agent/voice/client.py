"""``ProcessVoice``: one voice for all calls, spoken by processes of its own.

A clause is asked for when its hearer has taken the one before it, so that calls take turns and a cut utterance leaves
at most one clause to stop. A process that dies is replaced, and the clause it was speaking is said again from the
sample that its hearer has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final

import numpy as np

from agent.config import VoiceConfig
from agent.errors import VoiceFailed
from agent.voice.cache import Phrase, PhraseCache
from agent.voice.choose import EXACT, LOADED, choose
from agent.voice.clauses import Clause, spans, split
from agent.voice.engine import ClauseJob, Times
from agent.voice.protocol import SpeechChunk, VoiceInfo, WordTimes
from agent.voice.shape import RATE_HZ, Pcm
from agent.voice.wire import Frame, Kind, unpack_audio, unpack_ready, unpack_times
from agent.voice.worker import Request, VoiceWorker, spawner
from agent.voice.workers import VoiceWorkers

START_TIMEOUT_S: Final = 15.0
SILENCE_TIMEOUT_S: Final = 5.0
"""A process that has work and says nothing for that long is replaced."""
SLOW_START_TIMEOUT_S: Final = 60.0
SLOW_SILENCE_TIMEOUT_S: Final = 30.0
"""Of engines that load a model and give a clause at once: a long clause takes seconds of CPU."""
PRELOAD_SLACK_MS: Final = 60_000
"""Nobody waits for a phrase that is rendered ahead of time."""
TRIES: Final = 2
"""How often one clause may take its process down before its utterance fails."""


class ProcessVoice:
    """A voice in ``processes`` processes behind a phrase cache. Implements ``agent.voice.protocol.Voice``."""

    def __init__(
        self,
        engine: str,
        name: str,
        *,
        processes: int = 1,
        cache_phrases: int = 2000,
        on_death: Callable[[int], None] | None = None,
        model: str = "",
        program: str = "piper",
        on_estimated: Callable[[str, str], None] | None = None,
    ) -> None:
        """``engine``, ``name``, ``model`` and ``program`` as in ``VoiceConfig`` (``auto``, empty = the best).

        ``on_death(pid)`` is told of every process that ended by itself, ``on_estimated(voice, why)`` once, of the first
        clause whose words could not be found in its audio. Raises ``ConfigError`` when this host has no such voice.
        """
        choice = choose(VoiceConfig(engine=engine, name=name, model=model, program=program))
        self._engine, self._name = choice.engine, choice.handed
        loads = choice.engine in LOADED
        self._start_s = SLOW_START_TIMEOUT_S if loads else START_TIMEOUT_S
        self._silence_s = SLOW_SILENCE_TIMEOUT_S if loads else SILENCE_TIMEOUT_S
        self._why = choice.why
        self._count = processes
        spawn = spawner(self._engine, self._name)
        self._workers = VoiceWorkers(spawn, what="voice process", on_death=on_death)
        self.cache = PhraseCache(0 if self._engine == "marker" else cache_phrases)  # its words depend on their place
        self._on_estimated = on_estimated
        times: WordTimes = "exact" if choice.engine in EXACT else "estimated"
        self._info = VoiceInfo(name=choice.label, word_times=times, why=choice.why)

    @property
    def info(self) -> VoiceInfo:
        return self._info

    @property
    def engine(self) -> str:
        """As it was chosen."""
        return self._engine

    @property
    def restarts(self) -> int:
        """Processes that had to be replaced."""
        return self._workers.restarts

    async def start(self) -> None:
        """Start the processes and warm them up. Raises ``VoiceFailed``."""
        told = unpack_ready(await self._workers.start(self._count, within_s=self._start_s))
        if told is not None:
            times, why = told
            self._info = replace(
                self._info, word_times=times, why=f"{self._why}; word times: {why}" if why else self._why
            )

    async def stop(self) -> None:
        await self._workers.stop()

    async def preload(self, phrases: list[str]) -> None:
        """Render phrases into the cache ahead of time."""
        for phrase in phrases:
            for clause in split(phrase):
                if self._key(clause) not in self.cache:
                    async with aclosing(self._pieces(clause, PRELOAD_SLACK_MS)) as pieces:
                        async for _ in pieces:
                            pass

    async def speak(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        """Speak ``text`` clause by clause; closing the iterator stops the synthesis. Raises ``VoiceFailed``."""
        clauses = split(text)
        if not clauses:
            yield SpeechChunk(np.zeros(0, np.int16), (), True)
        loop = asyncio.get_running_loop()
        at, started = 0, loop.time()
        for number, clause in enumerate(clauses):
            pause = self._pause(clause)
            phrase = self.cache.get(self._key(clause))
            if phrase is not None:
                pcm = np.concatenate((phrase.pcm, pause))
                yield SpeechChunk(pcm, spans(clause, phrase.times, number, at), clause.last)
                at += pcm.size
                continue
            begin, played_ms = at, round((loop.time() - started) * 1000)
            slack_ms = max(0, at * 1000 // RATE_HZ - played_ms)
            async with aclosing(self._pieces(clause, slack_ms)) as pieces:
                async for pcm, times in pieces:
                    at += pcm.size
                    yield SpeechChunk(pcm, spans(clause, times, number, begin) if times else (), False)
            at += pause.size
            yield SpeechChunk(pause, (), clause.last)

    # --- one clause ---

    def _key(self, clause: Clause) -> tuple[str, str, str]:
        return self._engine, self._name, clause.text

    def _pause(self, clause: Clause) -> Pcm:
        pause_ms = 0 if self._engine == "marker" else clause.pause_ms  # its words bring their own silence
        return np.zeros(pause_ms * RATE_HZ // 1000, np.int16)

    async def _pieces(self, clause: Clause, slack_ms: int) -> AsyncGenerator[tuple[Pcm, Times | None], None]:
        """Audio of one clause without its pause and its word times: with the first piece, and again where they are put
        right behind it; survives a process's death."""
        job = job_of(clause)
        heard: list[Pcm] = []
        times: Times | None = None
        for _ in range(TRIES):
            worker = self._workers.least_busy()
            request = worker.speak(job, slack_ms)
            known = sum(pcm.size for pcm in heard)  # of an earlier try: not said twice
            ended = False
            try:
                while (frame := await _next_frame(worker, request, self._silence_s)) is not None:
                    ended = frame.kind in (Kind.END, Kind.FAILED)
                    if frame.kind is Kind.TIMES:
                        if known:
                            continue  # those of the earlier try are as good
                        before, times = times, unpack_times(frame.payload)
                        if heard and times != before:
                            yield np.zeros(0, np.int16), times
                    elif frame.kind is Kind.AUDIO:
                        pcm = unpack_audio(frame.payload)
                        pcm, known = pcm[known:], max(0, known - pcm.size)
                        if pcm.size:
                            heard.append(pcm)
                            yield pcm, times if len(heard) == 1 else None
                    elif frame.kind is Kind.FAILED:
                        raise VoiceFailed(frame.payload.decode())
                    elif times is not None and heard:
                        self._estimated(frame.payload)
                        self.cache.put(self._key(clause), Phrase(np.concatenate(heard), times))
                        return
            finally:
                worker.finish(request, cancel=not ended)
        raise VoiceFailed("the voice processes died over this clause")

    def _estimated(self, why: bytes) -> None:
        if why and self._on_estimated is not None:
            told, self._on_estimated = self._on_estimated, None
            told(self._info.name, why.decode())


async def _next_frame(worker: VoiceWorker, request: Request, silence_s: float) -> Frame | None:
    """Next frame of a request; a process that has been silent for too long is ended (``None`` follows)."""
    while True:
        try:
            return await request.next(silence_s)
        except TimeoutError:
            if worker.silent_s() >= silence_s:
                worker.kill()


def job_of(clause: Clause) -> ClauseJob:
    """What the engine is told; marks inside a clause become short pauses."""
    *inner, last = clause.tokens
    words = [token.spoken + ("," if token.mark else "") for token in inner]
    return ClauseJob((*words, last.spoken), clause.mark, clause.first_word)
