"""A caller through Pipecat's own live service, unmodified, in a process of its own; what it hears is kept with times.

    python -c "from agent.bench.pipecat_client import main; main()" URL CALLER.wav SECONDS OUT.npz

``OUT.npz``: ``at`` (when each frame came, seconds from the caller's first sample), ``size`` (its samples), ``pcm``,
``sent_late`` (by how much each frame of the caller was handed to the pipeline later than it was spoken, seconds).
Prints the messages of the context as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from pathlib import Path

import numpy as np
from pipecat.frames.frames import EndFrame, Frame, InputAudioRawFrame, LLMRunFrame, SpeechOutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.openai.live.llm import OpenAILiveLLMService
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies
from pipecat.workers.runner import WorkerRunner

FRAME_S = 0.02


class Ear(FrameProcessor):  # type: ignore[misc]  # Pipecat is not type-checked here
    """Notes each frame of the agent with its time."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []
        self.frames: list[bytes] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, SpeechOutputAudioRawFrame):
            self.at.append(asyncio.get_running_loop().time())
            self.frames.append(frame.audio)
        await self.push_frame(frame, direction)


async def speak(worker: PipelineWorker, audio: bytes, rate_hz: int, seconds: float) -> tuple[float, list[float]]:
    """The caller's audio at its own pace, then silence; when it began, and how late each frame was."""
    size = 2 * int(rate_hz * FRAME_S)
    loop = asyncio.get_running_loop()
    begin, late = loop.time(), []
    for n in range(int(seconds / FRAME_S)):
        await asyncio.sleep(max(0.0, begin + (n + 1) * FRAME_S - loop.time()))  # a frame can be sent when it is spoken
        late.append(loop.time() - begin - (n + 1) * FRAME_S)
        piece = audio[n * size : (n + 1) * size].ljust(size, b"\0")
        await worker.queue_frame(InputAudioRawFrame(audio=piece, sample_rate=rate_hz, num_channels=1))
    await worker.queue_frame(EndFrame())
    return begin, late


async def call(url: str, path: str, seconds: float, out: str) -> None:
    with wave.open(path, "rb") as source:
        rate_hz, audio = source.getframerate(), source.readframes(source.getnframes())
    context = LLMContext()
    # The agent owns the turns; Pipecat's own turn model would be loaded for each call and not be asked.
    params = LLMUserAggregatorParams(user_turn_strategies=ExternalUserTurnStrategies())
    aggregators = LLMContextAggregatorPair(context, user_params=params)
    service, ear = OpenAILiveLLMService(api_key="none", base_url=url), Ear()
    pipeline = Pipeline([aggregators.user(), service, ear, aggregators.assistant()])
    rates = PipelineParams(audio_in_sample_rate=rate_hz, audio_out_sample_rate=rate_hz)
    worker = PipelineWorker(pipeline, params=rates, idle_timeout_secs=None)
    started = asyncio.Event()
    worker.add_event_handler("on_pipeline_started", lambda *_: started.set())
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(runner.run())
        await worker.queue_frame(LLMRunFrame())
        await asyncio.wait_for(started.wait(), 20.0)
        await asyncio.sleep(1.0)  # the session is open: audio before that is dropped by the service
        begin, late = await speak(worker, audio, rate_hz, seconds)
        await running
    sizes = [len(frame) // 2 for frame in ear.frames]
    pcm = np.frombuffer(b"".join(ear.frames), "<i2")
    np.savez(out, at=np.array(ear.at) - begin, size=np.array(sizes, np.int64), pcm=pcm, sent_late=np.array(late))
    sys.stdout.write(json.dumps(context.get_messages()) + "\n")


def main() -> None:
    from loguru import logger

    logger.remove()
    url, path, seconds, out = sys.argv[1:5]
    asyncio.run(call(url, str(Path(path)), float(seconds), out))
