"""Pipecat's services behind our seams: real ones against servers that speak OpenAI's protocol, and small own ones."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent import logging
from agent.expectation import Expect, ExpectKind
from agent.model.parts.recogniser import Hypothesis, Mode
from agent.model.parts.recogniser_pool import RecogniserPool
from agent.pipecat.agent_file import read_parts
from agent.pipecat.brain import BrainProcess
from agent.pipecat.heard import FINAL_S
from agent.pipecat.spawn import check, spawner
from agent.pipecat.spec import PartSpec
from agent.pipecat.voice import PipecatVoice
from agent.remote.stream import AnswerStream, Asked, Clause, Item, Over
from agent.tasks import Tasks
from agent.voice.client import ProcessVoice
from agent.voice.fallback import FallbackVoice
from agent.voice.protocol import CallVoice, SpeechChunk, WordSpan
from telephony.clock import MonotonicClock
from tests.peers.speech_servers import GAP_S, WORD_S, speech_server
from tests.unit.agent.remote.llm_server import asking, llm_server, never, saying

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("pipecat") is None, reason="pipecat is not installed (extra pipecat)"),
]

KEY = "sk-part-very-secret"
ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "deploy/examples/pipecat/agent.yaml").read_text()
YAML = (ROOT / "docs/howto/pipecat-services.md").read_text().split("```yaml\n")[1].split("```")[0]
OWN = "tests.peers.pipecat_services"
OPENAI = "pipecat.services.openai"
TEXT = "Your parcel is on its way, and it will be there tomorrow before noon."


def spec(part: str, service: str, **more: Any) -> PartSpec:
    rates = {"voice": 24000, "recogniser": 16000, "brain": 16000}
    return PartSpec(part=part, service=service, rate_hz=rates[part], **more)  # type: ignore[arg-type]


def openai(part: str, url: str) -> PartSpec:
    cls = {"voice": "tts.OpenAITTSService", "recogniser": "stt.OpenAISTTService", "brain": "llm.OpenAILLMService"}[part]
    return spec(part, f"{OPENAI}.{cls}", arguments={"base_url": url}, secrets={"api_key": KEY})


# --- what is wrong is told at the start ---


def test_what_cannot_be_made_is_told_with_its_field() -> None:
    tts, stt, llm = f"{OPENAI}.tts.OpenAITTSService", f"{OPENAI}.stt.OpenAISTTService", f"{OPENAI}.llm.OpenAILLMService"
    key = {"api_key": KEY}
    wrong = [
        (spec("voice", "pipecat.services.nobody.tts.X"), "voice.pipecat", "cannot be imported"),
        (spec("voice", f"{OPENAI}.tts.OpenAITSService"), "voice.pipecat", "it has OpenAITTSService"),
        (spec("voice", stt, secrets=key), "voice.pipecat", "OpenAISTTService is no TTSService of Pipecat"),
        (spec("voice", "pipecat.services.tts_service.TTSService"), "voice.pipecat", "is a base class"),
        (spec("voice", "os.path.join"), "voice.pipecat", "has no class join"),
        (spec("voice", tts, secrets=key, settings={"speeed": 1}), "voice.settings.speeed", "unknown setting; known: "),
        (spec("voice", tts, secrets=key, settings={"speed": "fast"}), "voice.settings.speed", "must be float"),
        (spec("voice", tts, secrets=key, arguments={"base": "x"}), "voice.arguments.base", "unknown argument; known: "),
        (spec("voice", tts), "voice.api_key_env", "cannot be made"),
        (spec("recogniser", stt), "recogniser.api_key_env", "cannot be made"),
        (spec("recogniser", f"{OPENAI}.stt.OpenAIRealtimeSTTService"), "recogniser.api_key_env", "needs api_key"),
        (spec("brain", llm), "brain.api_key_env", "cannot be made"),
        (spec("voice", f"{OWN}.StampedTTS", secrets={"token": KEY}), "voice.secrets_env.token", "takes no token"),
    ]
    names = ("STT_KEY", "LLM_KEY", "TTS_KEY", "OPENAI_API_KEY")
    shown = [read_parts(text, "agent.yaml", dict.fromkeys(names, KEY)).named() for text in (YAML, EXAMPLE)]
    found = check([*(one for one, _, _ in wrong), *shown[0], *shown[1]])
    assert [field for field, _ in found] == [field for _, field, _ in wrong]
    for (_, reason), (_, _, expected) in zip(found, wrong, strict=True):
        assert expected in reason
        assert KEY not in reason


# --- voice ---


class Voices:
    """A voice under test in front of our own, and what it told."""

    def __init__(self, part: PartSpec) -> None:
        self.failures: list[str] = []
        self.deaths: list[int] = []
        self.service = PipecatVoice(
            part,
            cache_phrases=0,
            on_death=self.deaths.append,
            on_failure=lambda call, why: self.failures.append(f"{call}: {why}"),
        )
        own = ProcessVoice("pico", "")
        self.voice = FallbackVoice(
            self.service, [own], clock=MonotonicClock(), told=lambda before, now, why: None, warm=1
        )


@asynccontextmanager
async def voices(part: PartSpec) -> AsyncIterator[Voices]:
    found = Voices(part)
    await found.voice.start()
    try:
        yield found
    finally:
        await found.voice.stop()


async def say(voice: CallVoice, text: str = TEXT) -> list[SpeechChunk]:
    async with aclosing(voice.speak(text)) as chunks:  # type: ignore[type-var]  # all our voices are generators
        return [chunk async for chunk in chunks]


def final_words(chunks: list[SpeechChunk]) -> list[WordSpan]:
    """As the worker keeps them: words of a clause replace earlier ones."""
    kept: list[WordSpan] = []
    for chunk in chunks:
        if chunk.words:
            again = {word.clause for word in chunk.words}
            kept = [word for word in kept if word.clause not in again] + list(chunk.words)
    return kept


def assert_whole(chunks: list[SpeechChunk], text: str = TEXT) -> None:
    """Every word once, in order, inside the audio, and one last chunk."""
    words = final_words(chunks)
    assert " ".join(word.text for word in words) == text
    edges = [edge for word in words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert edges[-1] <= sum(chunk.pcm.size for chunk in chunks)
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def test_a_vendor_s_voice_speaks_telephone_audio_with_the_times_of_its_words() -> None:
    async with speech_server() as server, voices(openai("voice", server.url)) as found:
        call = found.voice.of_call("c1")
        chunks = await say(call)
        assert_whole(chunks)
        assert not found.failures
        assert server.texts == ["Your parcel is on its way,", "and it will be there tomorrow before noon."]
        assert server.keys == {f"Bearer {KEY}"}
        assert sum(c.pcm.size for c in chunks) / 8000 == pytest.approx(14 * (WORD_S + GAP_S), abs=0.5)
        # A hearer that goes away hangs up on the vendor, and the call's next clause is not mixed up with the old one.
        server.voice = "slow"
        speech = call.speak("This is never heard by anybody.")
        waiting = asyncio.ensure_future(anext(aiter(speech)))
        await asyncio.sleep(0.5)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await speech.aclose()  # type: ignore[attr-defined]
        server.voice = "good"
        assert_whole(await say(call, "Now it is good."), "Now it is good.")
        assert server.hung_up == 1
        call.close()


@pytest.mark.parametrize(
    "ways", [("dying", "refusing", "silent"), pytest.param(("babbling", "slow"), marks=pytest.mark.soak)]
)
async def test_a_voice_that_fails_is_followed_by_our_own_from_the_first_word_that_is_missing(
    ways: tuple[str, ...],
) -> None:
    async with speech_server() as server, voices(openai("voice", server.url)) as found:
        for behaviour in ways:
            server.voice = behaviour
            started = time.monotonic()
            assert_whole(await say(found.voice.of_call(behaviour)))
            assert time.monotonic() - started < 12.0, behaviour
            told = found.failures.pop()
            assert told.startswith(f"{behaviour}: ")
            assert KEY not in told
            server.voice = "good"
            assert_whole(
                await say(found.voice.of_call("other"), f"All is well after {behaviour}."),
                f"All is well after {behaviour}.",
            )
            assert not found.failures, "another call's service has not failed"


async def test_word_times_of_the_service_are_taken_and_its_host_may_be_killed() -> None:
    async with voices(spec("voice", f"{OWN}.StampedTTS")) as found:
        words = final_words(await say(found.voice.of_call("c1"), "One two three four."))
        starts = [word.start / 8000 for word in words]
        assert np.allclose(np.diff(starts), WORD_S + GAP_S, atol=0.03)

        # A host that is killed costs a sentence in our own voice, and is started again.
        call = found.voice.of_call("c2")
        speech = call.speak(TEXT)
        first = await anext(aiter(speech))
        (pid,) = found.service.pids
        os.kill(pid, signal.SIGKILL)
        chunks = [first] + [chunk async for chunk in speech]
        assert_whole(chunks)
        assert found.deaths == [pid]
        await found.service._workers[0].ready(20.0)
        assert_whole(await say(call, "Back again."), "Back again.")


# --- recogniser ---


async def listen(pool: RecogniserPool, row: int, seconds: float, *, within_s: float = 8.0) -> list[Hypothesis]:
    """One utterance of tone on ``row``; its hypotheses up to the final one."""
    number = pool.start(row, Expect(kind=ExpectKind.FREE), Mode.ANSWER)
    pcm = (4000 * np.sin(np.arange(int(8000 * seconds)) / 3)).astype(np.int16)
    for at in range(0, len(pcm), 160):
        pool.feed(row, pcm[at : at + 160])
    pool.stop(row)
    found: list[Hypothesis] = []
    async with asyncio.timeout(within_s):
        while not (found and found[-1].final):
            found += [one for one in pool.poll() if one.row == row and one.utterance == number]
            await asyncio.sleep(0.01)
    return found


async def last_of(pool: RecogniserPool, row: int, seconds: float, *, within_s: float = 8.0) -> Hypothesis:
    return (await listen(pool, row, seconds, within_s=within_s))[-1]


@asynccontextmanager
async def recognisers(part: PartSpec) -> AsyncIterator[RecogniserPool]:
    pool = RecogniserPool(spawner("recogniser", part), processes=1, is_late=True, per_call=True)
    try:
        yield pool
    finally:
        pool.close()


async def test_a_vendor_s_transcripts_are_the_words_of_the_utterance() -> None:
    async with speech_server(transcripts=["Where is my PARCEL?"]) as server, AsyncExitStack() as stack:
        pool = await stack.enter_async_context(recognisers(openai("recogniser", server.url)))
        found = await last_of(pool, 3, 1.0, within_s=15.0)
        assert found.words == ("where", "is", "my", "parcel")
        assert found.samples == 8000
        assert server.heard_s == [pytest.approx(1.5, abs=0.1)], "with the half second that Pipecat adds"
        server.ears = "empty"
        started = time.monotonic()
        found = await last_of(pool, 3, 0.5)
        assert (found.words, found.final) == ((), True)
        assert time.monotonic() - started < 0.9 * FINAL_S, "a transcript without words is not waited for"
        server.ears = "refusing"  # ends this row's utterance without words, and tells no other row
        found = await last_of(pool, 5, 0.5)
        assert found.words == ()
        server.ears = "babbling"
        found = await last_of(pool, 7, 0.5)
        assert 0 < len(found.words) <= 200
        server.ears = "good"
        found = await last_of(pool, 3, 0.5)
        assert found.words == ("where", "is", "my", "parcel")
        pool.release(3)


@pytest.mark.soak
@pytest.mark.parametrize("behaviour", ["dying", "slow"])
async def test_a_recogniser_that_fails_ends_the_utterance_in_time_and_is_asked_again(behaviour: str) -> None:
    async with speech_server(transcripts=["Yes."]) as server, AsyncExitStack() as stack:
        pool = await stack.enter_async_context(recognisers(openai("recogniser", server.url)))
        await last_of(pool, 1, 0.5, within_s=15.0)
        server.ears = behaviour
        started = time.monotonic()
        assert (await last_of(pool, 1, 0.5)).words == ()
        assert time.monotonic() - started < FINAL_S + 2.0
        server.ears = "good"
        async with asyncio.timeout(10.0):
            while (await last_of(pool, 1, 0.5)).words != ("yes",):
                await asyncio.sleep(0.5)


async def test_a_streaming_service_tells_words_while_they_are_spoken() -> None:
    async with recognisers(spec("recogniser", f"{OWN}.StreamingSTT")) as pool:
        found = await listen(pool, 0, 2.0, within_s=15.0)
        assert [one.final for one in found[:-1]] == [False] * (len(found) - 1)
        assert found[-1].words == ("where", "is", "my", "parcel")


# --- brain ---


@asynccontextmanager
async def brain(part: PartSpec) -> AsyncIterator[BrainProcess]:
    process = BrainProcess(part, answer_s=10.0, most_words=200, log=logging.get_log())
    async with process:
        yield process


MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "How are you?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "Finds.",
        "parameters": {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]},
    },
}


async def items(stream: AnswerStream, within_s: float = 15.0) -> list[Item]:
    found: list[Item] = []
    while not (found and isinstance(found[-1], Over)):
        item = await stream.item(len(found), within_s)
        assert item is not None
        found.append(item)
    return found


async def test_a_vendor_s_model_answers_and_asks_tools_and_is_hung_up_on() -> None:
    async with (
        llm_server(saying("I am fine, thank you. And you?"), asking("find", '{"number": "12"}'), never) as server,
        brain(openai("brain", server.url)) as process,
        Tasks() as tasks,
    ):
        endpoint = process.of_call("c1")

        def ask(*tools: dict[str, Any]) -> AnswerStream:
            stream = AnswerStream(endpoint, list(MESSAGES), list(tools))
            stream.start(tasks)
            return stream

        assert await items(ask()) == [Clause("I am fine,"), Clause("thank you."), Clause("And you?"), Over()]
        assert server.requests[0]["messages"] == MESSAGES
        assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
        asked, over = await items(ask(TOOL))
        assert isinstance(asked, Asked)
        assert [(call.name, call.arguments) for call in asked.calls] == [("find", '{"number": "12"}')]
        assert over == Over()
        assert server.requests[1]["tools"][0]["function"]["name"] == "find"
        third = ask()
        assert await third.item(0, 0.5) is None
        third.close()
        async with asyncio.timeout(3.0):
            while not server.hung_up:
                await asyncio.sleep(0.02)
        server.behaviours[:] = [saying("Here I am.")]
        assert await items(ask()) == [Clause("Here I am."), Over()]
        process.forget("c1")


@pytest.mark.soak
async def test_a_brain_that_dies_fails_one_answer_and_comes_back() -> None:
    async with brain(spec("brain", f"{OWN}.CountingLLM", arguments={"to": 2})) as process, Tasks() as tasks:
        endpoint, pid = process.of_call("c1"), process.pid
        dying = AnswerStream(endpoint, [{"role": "user", "content": "kill"}], [])
        dying.start(tasks)
        last = (await items(dying))[-1]
        assert isinstance(last, Over)
        assert last.failure == "connection"
        async with asyncio.timeout(20.0):
            while True:
                again = AnswerStream(endpoint, list(MESSAGES), [])
                again.start(tasks)
                found = await items(again)
                if found[-1] == Over():
                    break
                await asyncio.sleep(0.2)
        assert found == [Clause("Number 1 is said."), Clause("Number 2 is said."), Over()]
        assert process.pid != pid
