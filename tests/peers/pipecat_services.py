"""Small services of our own on Pipecat's base classes, for tests: named by their path in an agent's YAML."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService

from tests.peers.speech_servers import EDGE_S, GAP_S, WORD_S, spoken


class StampedTTS(TTSService):  # type: ignore[misc]  # Pipecat is not type-checked here
    """Tones with the time of each word, as websocket vendors give it."""

    def __init__(self, *, tempo: float = 1.0, settings: TTSSettings | None = None, **more: Any) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            push_text_frames=False,
            settings=settings or TTSSettings(model=None, voice=None, language=None),
            **more,
        )

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        starts = [(word, EDGE_S + n * (WORD_S + GAP_S)) for n, word in enumerate(text.split())]
        await self.add_word_timestamps(starts, context_id)
        audio = spoken(text).tobytes()
        for at in range(0, len(audio), 9600):
            yield TTSAudioRawFrame(audio[at : at + 9600], 24000, 1, context_id=context_id)
            await asyncio.sleep(0.005)


class OddRateTTS(StampedTTS):
    """Gives audio at a rate that it was not asked for."""

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        yield TTSAudioRawFrame(b"\1\0" * 4410, 44100, 1, context_id=context_id)


class StreamingSTT(STTService):  # type: ignore[misc]
    """Says a word for each half second of audio while it comes, and the final words a moment after the end."""

    def __init__(self, *, words: str = "where is my parcel", delay_s: float = 0.1, **more: Any) -> None:
        super().__init__(settings=STTSettings(model=None, language=None), ttfs_p99_latency=0.3, **more)
        self._crosstalk_words = words.split()
        self._crosstalk_delay_s = delay_s
        self._crosstalk_seconds = 0.0

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        self._crosstalk_seconds += len(audio) / 2 / self.sample_rate
        count = int(2 * self._crosstalk_seconds)
        if count:
            yield InterimTranscriptionFrame(" ".join(self._crosstalk_words[:count]), "", "")

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self._crosstalk_seconds = 0.0
            await asyncio.sleep(self._crosstalk_delay_s)
            await self.push_frame(TranscriptionFrame(" ".join(self._crosstalk_words).capitalize() + ".", "", ""))


@dataclass
class EchoSettings(LLMSettings):
    pass


class CountingLLM(LLMService):  # type: ignore[misc]
    """Counts aloud until it is stopped; ``kill`` in the last message ends its process, as a crash would."""

    Settings = EchoSettings

    def __init__(self, *, to: int = 5, pause_s: float = 0.0, **more: Any) -> None:
        super().__init__(
            settings=EchoSettings(
                model=None, system_instruction=None, temperature=None, max_tokens=None, top_p=None, top_k=None,
                frequency_penalty=None, presence_penalty=None, seed=None, filter_incomplete_user_turns=False,
                user_turn_completion_config=None,
            ),
            **more,
        )  # fmt: skip
        self._crosstalk_to, self._crosstalk_pause_s = to, pause_s

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        if "kill" in str(frame.context.get_messages()[-1]["content"]):
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)
        await self.push_frame(LLMFullResponseStartFrame())
        for number in range(1, self._crosstalk_to + 1):
            await self.push_frame(LLMTextFrame(f"Number {number} is said. "))
            await asyncio.sleep(self._crosstalk_pause_s)
        await self.push_frame(LLMFullResponseEndFrame())
