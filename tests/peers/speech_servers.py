"""Servers on loopback that speak OpenAI's protocol for speech: good, slow, silent, dying, refusing and babbling ones.

``POST /v1/audio/speech`` answers with 24 kHz PCM, ``POST /v1/audio/transcriptions`` with a text, ``…/chat/completions``
with streamed deltas (tests/unit/agent/remote/llm_server.py). What a server does next is what ``behaviour`` says.
"""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

RATE_HZ = 24000
WORD_S, GAP_S = 0.22, 0.08
EDGE_S = 0.25
"""Silence at both ends, as vendors give it."""


def spoken(text: str) -> NDArray[np.int16]:
    """A tone for each word, 24 kHz, with silence around."""
    tone = (9000 * np.sin(2 * np.pi * 440 * np.arange(int(WORD_S * RATE_HZ)) / RATE_HZ)).astype(np.int16)
    gap, edge = np.zeros(int(GAP_S * RATE_HZ), np.int16), np.zeros(int(EDGE_S * RATE_HZ), np.int16)
    pieces: list[NDArray[np.int16]] = [edge]
    for _ in text.split():
        pieces += [tone, gap]
    return np.concatenate([*pieces[:-1], edge])


@dataclass
class SpeechServer:
    """What was asked, and what is to be done."""

    voice: str = "good"
    """``good slow silent dying refusing babbling``."""
    ears: str = "good"
    """``good slow dying refusing empty babbling``."""
    transcripts: list[str] = field(default_factory=list)
    """Given in turn; the last one goes on."""
    texts: list[str] = field(default_factory=list)
    heard_s: list[float] = field(default_factory=list)
    """Length of each audio to transcribe."""
    hung_up: int = 0
    keys: set[str] = field(default_factory=set)
    url: str = ""

    async def speak(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.texts.append(body["input"])
        self.keys.add(request.headers.get("Authorization", ""))
        if self.voice == "refusing":
            message = f"Incorrect API key provided: {request.headers.get('Authorization', '').split()[-1]}"
            return web.json_response({"error": {"message": message}}, status=401)
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        try:
            await response.prepare(request)
            if self.voice == "slow":
                await asyncio.sleep(30)
            data = spoken(body["input"]).tobytes()
            if self.voice == "silent":
                return response
            if self.voice == "dying":
                await response.write(data[: len(data) // 2])
                await asyncio.sleep(0.3)
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(data)
            while self.voice == "babbling":
                await response.write(data)
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.CancelledError):
            self.hung_up += 1
            raise
        return response

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        with file.file as uploaded, wave.open(io.BytesIO(uploaded.read())) as audio:
            self.heard_s.append(audio.getnframes() / audio.getframerate())
        if self.ears == "refusing":
            return web.json_response({"error": {"message": "no"}}, status=400)
        if self.ears == "slow":
            await asyncio.sleep(30)
        if self.ears == "dying":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if self.ears == "empty":
            return web.json_response({"text": ""})
        if self.ears == "babbling":
            return web.json_response({"text": "thank you for watching " * 500})
        text = self.transcripts.pop(0) if len(self.transcripts) > 1 else self.transcripts[0]
        return web.json_response({"text": text})


@asynccontextmanager
async def speech_server(**state: object) -> AsyncIterator[SpeechServer]:
    server = SpeechServer(**state)  # type: ignore[arg-type]
    app = web.Application(client_max_size=16 << 20)
    app.router.add_post("/v1/audio/speech", server.speak)
    app.router.add_post("/v1/audio/transcriptions", server.transcribe)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
