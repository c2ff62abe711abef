"""Another voice says the rest when one fails: nothing is lost, nothing is said twice, and it is told."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np
import pytest

from agent.config import VoiceConfig
from agent.errors import VoiceFailed
from agent.scheduler.speech import Ended, SpeechBuffer
from agent.voice.choose import choose
from agent.voice.clauses import split
from agent.voice.client import ProcessVoice
from agent.voice.fallback import FIRST_REST_S, ORDER, FallbackVoice, others
from agent.voice.protocol import SpeechChunk, VoiceInfo, WordSpan
from agent.voice.worker import VoiceWorker

TEXT = "Your parcel is on its way, and it will be there tomorrow. Anything else?"
WORD = 800
"""Samples of a word of the scripted voices."""


@dataclass
class Scripted:
    """A word is 100 ms; two words in a chunk; fails after ``breaks_after`` chunks of an utterance."""

    name: str
    breaks_after: int | None = None
    asked: list[str] = field(default_factory=list)

    @property
    def info(self) -> VoiceInfo:
        return VoiceInfo(name=self.name, word_times="exact", why="test")

    async def speak(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        self.asked.append(text)
        at = chunks = 0
        for number, clause in enumerate(split(text)):
            begin = at
            spans = tuple(
                WordSpan(text=token.source, start=begin + WORD * k, end=begin + WORD * (k + 1), clause=number)
                for k, token in enumerate(clause.tokens)
            )
            for first in range(0, len(spans), 2):
                if chunks == self.breaks_after:
                    raise VoiceFailed("broken")
                count = len(spans[first : first + 2])
                yield SpeechChunk(np.zeros(WORD * count, np.int16), spans if first == 0 else (), False)
                at, chunks = at + WORD * count, chunks + 1
        yield SpeechChunk(np.zeros(0, np.int16), (), True)

    async def start(self) -> None: ...

    async def preload(self, phrases: list[str]) -> None: ...

    async def stop(self) -> None: ...


class Hand:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at


def spoken(chunks: list[SpeechChunk], *, played: int | None = None) -> tuple[str, str]:
    """What a worker would tell as heard and unheard of these chunks; ``played``: samples, all where ``None``."""
    buffer = SpeechBuffer()
    buffer.begin(1, interruptible=True)
    for chunk in chunks:
        buffer.append(1, chunk.pcm, list(chunk.words), last=chunk.last)
    total = sum(len(chunk.pcm) for chunk in chunks)
    frame, frames = np.zeros(160, np.int16), (total if played is None else played) // 160
    ended: list[Ended] = []
    for number in range(frames):
        buffer.next_frame(frame, number)
        ended += buffer.played_to(number + 1)[1]
    ended = ended or buffer.cut("yielded")
    return ended[0].heard, ended[0].unheard


async def collect(speech: AsyncIterator[SpeechChunk]) -> list[SpeechChunk]:
    async with aclosing(speech) as chunks:  # type: ignore[type-var]
        return [chunk async for chunk in chunks]


def rig(*voices: Scripted) -> tuple[FallbackVoice, Hand, list[tuple[str, str | None, str]]]:
    told: list[tuple[str, str | None, str]] = []
    hand = Hand()
    voice = FallbackVoice(
        voices[0],
        voices[1:],
        clock=hand,
        told=lambda before, now, why: told.append((before.name, now.name if now else None, why)),
    )
    return voice, hand, told


@pytest.mark.parametrize("breaks_after", range(8))
async def test_the_rest_is_said_by_the_next_voice_wherever_the_first_one_breaks(breaks_after: int) -> None:
    first, second = Scripted("first", breaks_after), Scripted("second")
    voice, _, told = rig(first, second)
    chunks = await collect(voice.speak(TEXT))
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert spoken(chunks) == (TEXT, "")
    assert sum(len(chunk.pcm) for chunk in chunks) == WORD * len(TEXT.split())
    said = len(" ".join(second.asked).split())
    if said:
        assert [chunk.voice for chunk in chunks[breaks_after:]] == ["second"] * (len(chunks) - breaks_after)
    assert told == ([("first", "second", "broken")] if said else [])


async def test_heard_text_is_exact_across_the_change() -> None:
    voice, _, _ = rig(Scripted("first", 2), Scripted("second"))
    chunks = await collect(voice.speak(TEXT))
    words = TEXT.split()
    for count in range(len(words)):
        heard, unheard = spoken(chunks, played=WORD * count)
        assert (heard, unheard) == (" ".join(words[:count]), " ".join(words[count:]))


async def test_voice_that_failed_rests_and_is_then_tried_again() -> None:
    first, second = Scripted("first", 0), Scripted("second")
    voice, hand, told = rig(first, second)
    for _ in range(2):
        await collect(voice.speak("hello there"))
    assert len(first.asked) == 1
    assert voice.state["name"] == "second"
    assert (voice.state["instead_of"], voice.state["why"]) == ("first", "broken")
    hand.at, first.breaks_after = FIRST_REST_S + 0.1, None
    chunks = await collect(voice.speak("hello there"))
    assert {chunk.voice for chunk in chunks} == {""}
    assert voice.state["name"] == "first"
    assert told[-1] == ("second", "first", "it speaks again")


async def test_rest_grows_while_a_voice_stays_broken() -> None:
    first, second = Scripted("first", 0), Scripted("second")
    voice, hand, _ = rig(first, second)
    for hand.at in (0.0, FIRST_REST_S, 2.9 * FIRST_REST_S, 3 * FIRST_REST_S):
        await collect(voice.speak("hello there"))
    assert len(first.asked) == 3  # 0, 5, 15 s


async def test_without_any_voice_the_utterance_fails_and_says_why() -> None:
    voice, _, told = rig(Scripted("first", 0), Scripted("second", 1))
    with pytest.raises(VoiceFailed, match="broken"):
        await collect(voice.speak(TEXT))
    assert told[-1] == ("second", None, "broken")


class PerCall(Scripted):
    """Keeps a voice for each call; those of the calls in ``broken`` fail at once."""

    def __init__(self) -> None:
        super().__init__("shared")
        self.broken: set[str] = set()
        self.open: list[Own] = []

    def of_call(self, call_id: str) -> Own:
        self.open.append(Own(self, call_id))
        return self.open[-1]


class Own(Scripted):
    def __init__(self, voice: PerCall, call_id: str) -> None:
        super().__init__(call_id)
        self.voice = voice

    def speak(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        self.breaks_after = 0 if self.name in self.voice.broken else None
        return super().speak(text)

    def close(self) -> None:
        self.voice.open.remove(self)


async def voices_of(speech: AsyncIterator[SpeechChunk]) -> set[str]:
    return {chunk.voice for chunk in await collect(speech)}


async def test_each_call_keeps_what_the_first_voice_keeps_for_it() -> None:
    first = PerCall()
    voice, _, _ = rig(first, Scripted("second"))
    own = voice.of_call("call-1")
    assert spoken(await collect(own.speak(TEXT))) == (TEXT, "")
    assert [one.name for one in first.open] == ["call-1"]
    own.close()
    assert not first.open


async def test_what_fails_in_one_call_speaks_on_in_the_others_and_is_given_up_there_after_two_failures() -> None:
    first = PerCall()
    voice, hand, told = rig(first, Scripted("second"))
    one, other = voice.of_call("one"), voice.of_call("other")
    first.broken = {"one"}
    assert await voices_of(one.speak(TEXT)) == {"second"}
    assert voice.state["instead_of"] == "shared"
    assert await voices_of(other.speak(TEXT)) == {""}
    first.broken = set()
    assert await voices_of(one.speak(TEXT)) == {""}, "one failure is forgiven at the next utterance"
    assert "instead_of" not in voice.state
    first.broken = {"one"}
    for _ in range(3):
        assert await voices_of(one.speak(TEXT)) == {"second"}
    assert len(first.open[0].asked) == 4, "two in a row are enough"
    hand.at = 1e6
    assert await voices_of(one.speak(TEXT)) == {"second"}
    assert await voices_of(other.speak(TEXT)) == {""}
    assert [now for _, now, _ in told] == ["second", "shared", "second"]
    one.close()
    assert "instead_of" not in voice.state
    assert await voices_of(voice.of_call("one more").speak(TEXT)) == {""}


async def test_a_voice_that_is_kept_warm_is_started_and_loaded_with_the_first() -> None:
    done: list[str] = []

    class Starts(Scripted):
        async def start(self) -> None:
            done.append(f"{self.name} starts")
            if self.breaks_after == 0:
                raise VoiceFailed("broken")

        async def preload(self, phrases: list[str]) -> None:
            done.append(f"{self.name} loads {phrases}")

        async def stop(self) -> None:
            done.append(f"{self.name} stops")

    def warm(*voices: Scripted) -> FallbackVoice:
        return FallbackVoice(voices[0], voices[1:], clock=Hand(), told=lambda before, now, why: None, warm=1)

    voice = warm(Starts("a"), Starts("b"), Starts("c"))
    await voice.start()
    await voice.preload(["hello"])
    assert done == ["a starts", "b starts", "a loads ['hello']", "b loads ['hello']"]
    done.clear()
    with pytest.raises(VoiceFailed, match="broken"):
        await warm(Starts("a"), Starts("b", 0)).start()
    assert done == ["a starts", "b starts", "a stops", "b stops"]


async def test_killed_process_whose_restart_fails_leaves_the_word_to_another_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = choose(VoiceConfig()).engine  # the best of this host
    first, last = ProcessVoice(engine, "", cache_phrases=0), ProcessVoice("marker", "")
    told: list[str] = []
    voice = FallbackVoice(
        first, [last], clock=Hand(), told=lambda before, now, why: told.append(now.name if now else "none")
    )
    await voice.start()

    def refuse() -> VoiceWorker:
        raise VoiceFailed("no voice process can be started: test")

    monkeypatch.setattr(first._workers, "_spawn", refuse)
    try:
        chunks: list[SpeechChunk] = []
        async with aclosing(voice.speak(TEXT)) as speaking:
            async for chunk in speaking:
                chunks.append(chunk)
                if len(chunks) == 2:
                    os.kill(first._workers[0].pid, signal.SIGKILL)
    finally:
        await voice.stop()
    assert spoken(chunks) == (TEXT, "")
    assert {chunk.voice for chunk in chunks} == {"", "marker"}
    assert told == ["marker"]


def test_order_of_what_this_host_has_is_that_of_choosing() -> None:
    best = choose(VoiceConfig()).engine
    behind = [choice.engine for choice in others(best)]
    assert behind == [engine for engine in ORDER if engine in behind]
    assert best not in behind
    assert behind[-1] == "marker"
    assert [choice.engine for choice in others("marker")] == [best, *behind[:-1]]
    assert [choice.engine for choice in others("kokoro")] == [best, *behind]
