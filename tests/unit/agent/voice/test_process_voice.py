from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.config import VoiceConfig
from agent.errors import ConfigError, VoiceFailed
from agent.voice import choose as choosing
from agent.voice import client, flite, pico, worker
from agent.voice.cache import Phrase, PhraseCache
from agent.voice.choose import choose
from agent.voice.client import ProcessVoice
from agent.voice.protocol import SpeechChunk, WordSpan
from agent.voice.workers import MOST_DEATHS
from telephony.audio.marker import decode_marker

TEXT = "Your parcel 12345678 is on its way, and it will be there tomorrow before noon. Anything else?"
needs_flite = pytest.mark.skipif(flite.missing("rms") is not None, reason="libflite1 is not on this host")
ENGINES = [
    "marker",
    pytest.param("flite", marks=needs_flite),
    pytest.param("pico", marks=pytest.mark.skipif(pico.missing() is not None, reason="py-nanotts is not installed")),
]


async def collect(voice: ProcessVoice, text: str = TEXT) -> list[SpeechChunk]:
    async with aclosing(voice.speak(text)) as chunks:
        return [chunk async for chunk in chunks]


def audio(chunks: list[SpeechChunk]) -> NDArray[np.int16]:
    return np.concatenate([chunk.pcm for chunk in chunks])


def words(chunks: list[SpeechChunk]) -> list[WordSpan]:
    """As they are known at the end: those of a clause that come again replace the earlier ones."""
    known: dict[int, list[WordSpan]] = {}
    for chunk in chunks:
        known |= {word.clause: [other for other in chunk.words if other.clause == word.clause] for word in chunk.words}
    return [word for clause in known.values() for word in clause]


@pytest.fixture
async def kal() -> AsyncIterator[ProcessVoice]:
    """The cheapest voice that streams."""
    voice = ProcessVoice("flite", "kal")
    await voice.start()
    yield voice
    await voice.stop()


@pytest.mark.parametrize("engine", ENGINES)
async def test_every_word_comes_once_in_order_inside_the_audio(engine: str) -> None:
    voice = ProcessVoice(engine, "")
    await voice.start()
    try:
        chunks = await collect(voice)
    finally:
        await voice.stop()
    spans = words(chunks)
    assert " ".join(word.text for word in spans) == TEXT
    edges = [edge for word in spans for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert edges[-1] <= audio(chunks).size
    assert sorted({word.clause for word in spans}) == list(range(max(word.clause for word in spans) + 1))
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


@pytest.mark.skipif(pico.missing() is not None, reason="py-nanotts is not installed")
async def test_words_are_found_in_the_audio_of_a_voice_that_does_not_know_them() -> None:
    """The estimate comes with the first audio, what was found behind it; the cache keeps what was found."""
    told: list[tuple[str, str]] = []
    voice = ProcessVoice("pico", "", on_estimated=lambda name, why: told.append((name, why)))
    assert voice.info.word_times == "estimated"
    await voice.start()
    try:
        assert voice.info.word_times == "aligned"
        assert not voice.info.exact_word_times
        assert "our own ears" in voice.info.why
        fresh = await collect(voice, "Your parcel is on its way.")
        again = await collect(voice, "Your parcel is on its way.")
    finally:
        await voice.stop()
    first, *_, second = [chunk.words for chunk in fresh if chunk.words]
    assert [word.text for word in first] == [word.text for word in second]
    assert first != second
    assert words(again) == list(second)
    assert told == []


async def test_marker_utterance_decodes_to_its_word_numbers() -> None:
    voice = ProcessVoice("marker", "")
    await voice.start()
    try:
        chunks = await collect(voice)
    finally:
        await voice.stop()
    found, spans = decode_marker(audio(chunks)), words(chunks)
    assert [k for k, _, _ in found] == list(range(len(TEXT.split())))
    assert all(abs(f[1] - w.start) <= 24 and abs(f[2] - w.end) <= 24 for f, w in zip(found, spans, strict=True))


@needs_flite
async def test_cached_phrase_is_the_same_audio_at_once(kal: ProcessVoice) -> None:
    fresh, again = await collect(kal), await collect(kal)
    assert np.array_equal(audio(fresh), audio(again))
    assert words(fresh) == words(again)
    assert len(again) == len({word.clause for word in words(again)}) < len(fresh)
    await kal.stop()
    assert np.array_equal(audio(await collect(kal)), audio(fresh))  # no process is needed


@needs_flite
async def test_preloaded_phrase_needs_no_process(kal: ProcessVoice) -> None:
    await kal.preload(["Hello there.", "Hello there."])
    assert len(kal.cache) == 1
    await kal.stop()
    assert audio(await collect(kal, "Hello there.")).size > 2000


@needs_flite
async def test_closing_the_iterator_stops_the_synthesis(kal: ProcessVoice) -> None:
    async with aclosing(kal.speak("We will bring it to you between nine and twelve o'clock tomorrow")) as chunks:
        async for _ in chunks:
            break
    assert kal._workers[0].open_requests == 0
    assert len(kal.cache) == 0
    assert audio(await collect(kal, "Yes.")).size > 1000


@needs_flite
async def test_cancelled_hearer_leaves_a_usable_voice(kal: ProcessVoice) -> None:
    task = asyncio.ensure_future(collect(kal))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert words(await collect(kal, "Yes, again."))[0].text == "Yes,"


@needs_flite
async def test_death_of_the_process_in_an_utterance_is_not_heard() -> None:
    told: list[int] = []
    voice = ProcessVoice("flite", "kal", cache_phrases=0, on_death=told.append)
    await voice.start()
    try:
        expected = await collect(voice)
        chunks: list[SpeechChunk] = []
        dead = voice._workers[0].pid
        async with aclosing(voice.speak(TEXT)) as speaking:
            async for chunk in speaking:
                chunks.append(chunk)
                if len(chunks) == 2:
                    os.kill(dead, signal.SIGKILL)
        assert np.array_equal(audio(chunks), audio(expected))
        assert words(chunks) == words(expected)
        assert told == [dead]
        assert voice.restarts == 1
        assert voice._workers[0].pid != dead
    finally:
        await voice.stop()


async def test_stuck_process_is_replaced_and_the_clause_still_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SILENCE_TIMEOUT_S", 1.5)
    voice = ProcessVoice("marker", "")
    await voice.start()
    try:
        os.kill(voice._workers[0].pid, signal.SIGSTOP)
        assert len(words(await collect(voice, "still there"))) == 2
        assert voice.restarts >= 1
    finally:
        await voice.stop()


async def test_idle_process_that_dies_is_replaced() -> None:
    died = asyncio.Event()
    voice = ProcessVoice("marker", "", processes=2, on_death=lambda _pid: died.set())
    await voice.start()
    try:
        os.kill(voice._workers[1].pid, signal.SIGKILL)
        await asyncio.wait_for(died.wait(), 5)
        assert len(voice._workers) == 2
        assert len(words(await collect(voice))) == len(TEXT.split())
    finally:
        await voice.stop()


async def test_voice_that_keeps_dying_is_not_started_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BOOT", "raise SystemExit(3)")
    voice = ProcessVoice("marker", "")
    with pytest.raises(VoiceFailed, match="ended at its start"):
        await voice.start()
    for _ in range(6):
        with pytest.raises(VoiceFailed):
            await collect(voice)
    assert voice.restarts == MOST_DEATHS
    await voice.stop()


async def test_engine_that_cannot_be_loaded_fails_the_start_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing.flite, "missing", lambda _name: None)
    monkeypatch.setattr(flite, "NAMES", (*flite.NAMES, "nobody"))
    voice = ProcessVoice("flite", "nobody")
    with pytest.raises(VoiceFailed, match="flite has no voice 'nobody'"):
        await voice.start()


async def test_processes_take_turns() -> None:
    voice = ProcessVoice("marker", "", processes=2)
    await voice.start()
    try:
        pids = set()
        for _ in range(2):
            await collect(voice, "hello")
            pids.add(voice._workers[-1].pid)
        assert len(pids) == 2
    finally:
        await voice.stop()


async def test_many_calls_share_one_process() -> None:
    voice = ProcessVoice("marker", "")
    await voice.start()
    try:
        results = await asyncio.gather(*(collect(voice) for _ in range(30)))
    finally:
        await voice.stop()
    assert all(np.array_equal(audio(result), audio(results[0])) for result in results)


async def test_text_without_words_is_an_empty_utterance() -> None:
    voice = ProcessVoice("marker", "")
    (chunk,) = await collect(voice, " … ")
    assert (chunk.pcm.size, chunk.words, chunk.last) == (0, (), True)


def test_auto_takes_flite_where_it_is_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing.flite, "missing", lambda _name: None)
    assert (choose(VoiceConfig()).engine, choose(VoiceConfig()).name) == ("flite", "rms")
    monkeypatch.setattr(choosing.flite, "missing", lambda _name: "libflite.so.1: no such file")
    fallback = choose(VoiceConfig())
    assert (fallback.engine, fallback.name) == ("pico", "en-US")
    assert "libflite1 is absent" in fallback.why
    assert choose(VoiceConfig(name="en-GB")).name == "en-GB"


def test_voice_that_cannot_be_had_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing.flite, "missing", lambda _name: "libflite.so.1: no such file")
    for config in (VoiceConfig(engine="flite"), VoiceConfig(engine="pico", name="rms"), VoiceConfig(name="bob")):
        with pytest.raises(ConfigError, match="voice"):
            choose(config)
    monkeypatch.setattr(choosing.pico, "missing", lambda: "not installed")
    with pytest.raises(ConfigError, match="no voice"):
        choose(VoiceConfig())


def phrase(samples: int) -> Phrase:
    return Phrase(np.zeros(samples, np.int16), ())


def test_cache_forgets_what_was_used_longest_ago() -> None:
    cache = PhraseCache(2)
    for name in "ab":
        cache.put(("e", "n", name), phrase(10))
    assert cache.get(("e", "n", "a")) is not None
    cache.put(("e", "n", "c"), phrase(10))
    assert cache.get(("e", "n", "b")) is None
    assert cache.get(("e", "n", "a")) is not None
    assert (cache.hits, cache.misses) == (2, 1)


def test_cache_is_bounded_in_bytes_and_shares_read_only_audio() -> None:
    cache = PhraseCache(100, most_bytes=1000)
    for name in "abc":
        cache.put(("e", "n", name), phrase(200))
    assert cache.size_bytes == 800
    assert len(cache) == 2
    cache.put(("e", "n", "c"), phrase(200))
    assert cache.size_bytes == 800
    kept = cache.get(("e", "n", "c"))
    assert kept is not None
    with pytest.raises(ValueError, match="read-only"):
        kept.pcm[0] = 1
