"""A Pipecat pipeline that talks to an agent through Pipecat's own live service: no adapter, only ``base_url``.

    python live_call.py ws://127.0.0.1:8090/v1/live/sessions caller.wav --seconds 12

``caller.wav`` is mono PCM16 at any rate; it is played once at its own pace, then the caller is silent. Prints the
messages of the context as JSON: what the caller said, and what the caller **heard** of each answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import wave

from pipecat.frames.frames import EndFrame, Frame, InputAudioRawFrame, LLMRunFrame, SpeechOutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.openai.live.llm import OpenAILiveLLMService
from pipecat.workers.runner import WorkerRunner

FRAME_S = 0.02


class Ear(FrameProcessor):
    """Counts the audio of the agent: seconds in all, seconds that are not silence."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = self.loud_s = 0.0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, SpeechOutputAudioRawFrame):
            seconds = len(frame.audio) / 2 / frame.sample_rate
            self.seconds += seconds
            self.loud_s += seconds if any(frame.audio) else 0.0
        await self.push_frame(frame, direction)


async def speak(worker: PipelineWorker, path: str, seconds: float) -> None:
    """Play the file as the caller, then silence; end the pipeline after ``seconds``."""
    with wave.open(path, "rb") as source:
        rate, audio = source.getframerate(), source.readframes(source.getnframes())
    size = 2 * int(rate * FRAME_S)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for n in range(int(seconds / FRAME_S)):
        piece = audio[n * size : (n + 1) * size].ljust(size, b"\0")
        await worker.queue_frame(InputAudioRawFrame(audio=piece, sample_rate=rate, num_channels=1))
        await asyncio.sleep(max(0.0, begin + (n + 1) * FRAME_S - loop.time()))
    await worker.queue_frame(EndFrame())


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("wav")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--token", default="none")
    options = parser.parse_args()

    context = LLMContext()
    aggregators = LLMContextAggregatorPair(context)
    service, ear = OpenAILiveLLMService(api_key=options.token, base_url=options.url), Ear()
    pipeline = Pipeline([aggregators.user(), service, ear, aggregators.assistant()])
    worker = PipelineWorker(pipeline, params=PipelineParams(audio_in_sample_rate=24000, audio_out_sample_rate=24000))
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    speaking = asyncio.create_task(speak(worker, options.wav, options.seconds))
    await worker.queue_frame(LLMRunFrame())
    await runner.run()
    await speaking
    result = {"context": context.get_messages(), "heard_s": round(ear.seconds, 2), "loud_s": round(ear.loud_s, 2)}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
