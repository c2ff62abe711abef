"""A Pipecat voice as the front has it: its processes, and a pipeline per call.

A clause that the service cannot speak, or not to its end, is ``VoiceFailed``; who speaks on then is
``agent.voice.fallback``'s business.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Final

import numpy as np

from agent.errors import VoiceFailed
from agent.pipecat.spawn import spawner
from agent.pipecat.spec import PartSpec
from agent.pipecat.voice_wire import SpeakJob, pack_speak
from agent.voice.cache import Phrase, PhraseCache
from agent.voice.clauses import Clause, spans, split
from agent.voice.engine import Times
from agent.voice.protocol import SpeechChunk, VoiceInfo
from agent.voice.shape import RATE_HZ, Pcm
from agent.voice.wire import Kind, unpack_audio, unpack_times
from agent.voice.worker import VoiceWorker
from agent.voice.workers import VoiceWorkers

START_S: Final = 30.0
"""Pipecat takes 1 to 3 s to import."""
SILENCE_S: Final = 6.0
"""A host says why a service is silent before that: one that does not is stuck."""
PRELOADING: Final = ""
"""The call whose pipeline renders phrases ahead of time."""


class PipecatVoice:
    """Implements ``Voice`` and ``PerCallVoice``."""

    def __init__(
        self,
        spec: PartSpec,
        *,
        cache_phrases: int,
        on_death: Callable[[int], None],
        on_failure: Callable[[str, str], None],
    ) -> None:
        """``on_failure(call_id, why)``: the service could not speak."""
        self._spec = spec
        self.on_failure = on_failure
        self._workers = VoiceWorkers(spawner("voice", spec), what="process of the Pipecat voice", on_death=on_death)
        self._voice_key = hashlib.sha256(spec.to_json().encode()).hexdigest()[:16]
        self.cache = PhraseCache(cache_phrases)
        self._shared = _Speaker(self, PRELOADING)

    @property
    def info(self) -> VoiceInfo:
        return VoiceInfo(name=f"pipecat:{self._spec.service}", word_times="estimated", why="named in the agent's file")

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self._workers]

    async def start(self) -> None:
        """Start the processes. Raises ``VoiceFailed``."""
        await self._workers.start(self._spec.processes, within_s=START_S)

    async def stop(self) -> None:
        await self._workers.stop()

    async def preload(self, phrases: list[str]) -> None:
        """Render phrases into the cache ahead of time. Raises ``VoiceFailed``."""
        for phrase in phrases:
            for clause in split(phrase):
                if self.key(clause) not in self.cache:
                    async with aclosing(self._shared.pieces(clause)) as pieces:
                        async for _ in pieces:
                            pass
        self._shared.close()

    def speak(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        return self._shared.speak(text)

    def of_call(self, call_id: str) -> _Speaker:
        speaker = _Speaker(self, call_id)
        speaker.open()
        return speaker

    # --- for speakers ---

    def key(self, clause: Clause) -> tuple[str, str, str]:
        return "pipecat", self._voice_key, clause.text

    def worker_of(self, call_id: str) -> VoiceWorker:
        """The call's process: always the same while it lives. Raises ``VoiceFailed``."""
        return self._workers.at(int(hashlib.sha256(call_id.encode()).hexdigest(), 16))


class _Speaker:
    """One call's voice: implements ``CallVoice``."""

    def __init__(self, voice: PipecatVoice, call_id: str) -> None:
        self._voice = voice
        self._call_id = call_id

    def open(self) -> None:
        self._tell(Kind.OPEN)

    def close(self) -> None:
        self._tell(Kind.CLOSE)

    def _tell(self, kind: Kind) -> None:
        with suppress(VoiceFailed):
            self._voice.worker_of(self._call_id).tell(kind, self._call_id.encode())

    async def speak(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        """Speak ``text`` clause by clause; closing the iterator stops the synthesis. Raises ``VoiceFailed``."""
        clauses = split(text)
        if not clauses:
            yield SpeechChunk(np.zeros(0, np.int16), (), True)
        at = 0
        try:
            for number, clause in enumerate(clauses):
                begin = at
                async with aclosing(self.pieces(clause)) as pieces:
                    async for pcm, times in pieces:
                        at += pcm.size
                        yield SpeechChunk(pcm, spans(clause, times, number, begin) if times else (), False)
                pause = np.zeros(clause.pause_ms * RATE_HZ // 1000, np.int16)
                at += pause.size
                yield SpeechChunk(pause, (), clause.last)
        except VoiceFailed as failed:
            self._voice.on_failure(self._call_id, str(failed))
            raise

    async def pieces(self, clause: Clause) -> AsyncGenerator[tuple[Pcm, Times | None], None]:
        """Audio of one clause and its word times, first guessed, then right. Raises ``VoiceFailed``."""
        phrase = self._voice.cache.get(self._voice.key(clause))
        if phrase is not None:
            yield phrase.pcm, phrase.times
            return
        spoken = tuple(token.spoken + ("," if token.mark else "") for token in clause.tokens)
        job = SpeakJob(call=self._call_id, text=clause.text, spoken=spoken)
        worker = self._voice.worker_of(self._call_id)
        request = worker.ask(lambda number: pack_speak(number, job))
        heard: list[Pcm] = []
        times: Times | None = None
        ended = False
        try:
            while True:
                try:
                    frame = await request.next(SILENCE_S)
                except TimeoutError:
                    worker.kill()
                    raise VoiceFailed("the process of the Pipecat voice is stuck") from None
                ended = frame is None or frame.kind in (Kind.END, Kind.FAILED)
                if frame is None:
                    raise VoiceFailed("the process of the Pipecat voice died")
                if frame.kind is Kind.FAILED:
                    raise VoiceFailed(frame.payload.decode())
                if frame.kind is Kind.TIMES:
                    times = unpack_times(frame.payload)
                    if heard:
                        yield np.zeros(0, np.int16), times
                elif frame.kind is Kind.AUDIO:
                    pcm = unpack_audio(frame.payload)
                    heard.append(pcm)
                    yield pcm, times if len(heard) == 1 else None
                elif frame.kind is Kind.END and times is not None:
                    self._voice.cache.put(self._voice.key(clause), Phrase(np.concatenate(heard), times))
                    return
        finally:
            worker.finish(request, cancel=not ended)
