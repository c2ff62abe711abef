"""Vendors' endpoints on loopback for the bench: speech, transcripts and chat in OpenAI's form, as fast as they can."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
from aiohttp import web

RATE_HZ = 24000
WORD_S, GAP_S = 0.24, 0.08


def _spoken(text: str) -> bytes:
    at = np.arange(int(WORD_S * RATE_HZ)) / RATE_HZ
    tone = (9000 * np.sin(2 * np.pi * 300 * at) * np.hanning(len(at))).astype("<i2")
    word = np.concatenate((tone, np.zeros(int(GAP_S * RATE_HZ), "<i2")))
    return np.tile(word, max(1, len(text.split()))).tobytes()


class Vendor:
    """One server for all three services."""

    def __init__(self, transcript: str, answers: Sequence[str]) -> None:
        self._transcript = transcript
        self._answers = answers
        self.asked = {"speech": 0, "transcriptions": 0, "chat": 0}
        self.url = ""

    async def speech(self, request: web.Request) -> web.StreamResponse:
        self.asked["speech"] += 1
        return web.Response(body=_spoken((await request.json())["input"]), content_type="audio/pcm")

    async def transcriptions(self, request: web.Request) -> web.StreamResponse:
        self.asked["transcriptions"] += 1
        async for part in await request.multipart():
            await part.read()  # type: ignore[union-attr]  # a form of OpenAI's has no nested parts
        return web.json_response({"text": self._transcript})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        answer = self._answers[self.asked["chat"] % len(self._answers)]
        self.asked["chat"] += 1
        for word in answer.split():
            await self._delta(response, {"content": word + " "}, None)
        await self._delta(response, {}, "stop")
        await response.write(b"data: [DONE]\n\n")
        return response

    @staticmethod
    async def _delta(response: web.StreamResponse, delta: dict[str, str], reason: str | None) -> None:
        chunk = {
            "id": "1", "object": "chat.completion.chunk", "created": 0, "model": "bench",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        }  # fmt: skip
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


@asynccontextmanager
async def vendor(transcript: str, answers: Sequence[str]) -> AsyncIterator[Vendor]:
    server = Vendor(transcript, answers)
    app = web.Application(client_max_size=16 << 20)
    app.router.add_post("/v1/audio/speech", server.speech)
    app.router.add_post("/v1/audio/transcriptions", server.transcriptions)
    app.router.add_post("/v1/chat/completions", server.chat)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
