"""The long answer that the bench of sounds over our voice talks into: the parcel line's opening hours.

Said once by the service's default voice, clause by clause with its word times, as a call gets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from agent.brain.examples import example_path
from agent.brain.flow.flow import build_flow, expectation
from agent.brain.flow.load import load_dialogue
from agent.brain.flow.state import State
from agent.config import VoiceConfig
from agent.expectation import Expect
from agent.simulator.energy import RATE_HZ
from agent.voice.client import ProcessVoice
from agent.voice.protocol import SpeechChunk

INTENT: Final = "hours"
STATE: Final = "menu"
"""Where the parcel line is while it says so."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the agent says, and what it waits for meanwhile."""

    chunks: tuple[SpeechChunk, ...]
    expect: Expect
    voice: str

    @property
    def length_s(self) -> float:
        return sum(len(chunk.pcm) for chunk in self.chunks) / RATE_HZ


async def opening_hours() -> Answer:
    """Raises ``VoiceFailed`` or ``ConfigError`` where this host has no voice."""
    spec = load_dialogue(example_path("parcel") / "parcel.yaml")
    text = " ".join(line.source for line in spec.intents[INTENT].say)
    config = VoiceConfig()
    voice = ProcessVoice(config.engine, config.name, model=config.model, program=config.program)
    await voice.start()
    try:
        chunks = await _spoken(voice, text)
    finally:
        await voice.stop()
    return Answer(tuple(chunks), expectation(build_flow(spec), State(at=STATE)), voice.info.name)


async def _spoken(voice: ProcessVoice, text: str) -> Sequence[SpeechChunk]:
    async with aclosing(voice.speak(text)) as chunks:
        return [chunk async for chunk in chunks]
