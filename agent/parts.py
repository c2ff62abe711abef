"""The brain and the voice that the configuration names."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from agent.brain.chatter import ChatterBrain
from agent.brain.examples import example_path
from agent.brain.flow.brain import FlowBrain
from agent.brain.flow.load import load_dialogue
from agent.brain.protocol import Brain
from agent.config import Config
from agent.voice.client import ProcessVoice
from agent.voice.protocol import Voice


def open_brain(config: Config) -> Brain:
    """Raises ``DialogueError`` or ``ConfigError`` with what is wrong where."""
    if config.agent.brain == "chatter":
        return ChatterBrain()
    path = Path(config.agent.dialogue) if config.agent.dialogue else example_path("parcel") / "parcel.yaml"
    return FlowBrain(load_dialogue(path), today=dt.date.today, disclosure=config.agent.disclosure)


def open_voice(config: Config, on_death: Callable[[int], None]) -> Voice:
    """The voice is not started yet; ``on_death(pid)`` is told of each of its processes that ended by itself."""
    voice = config.voice
    return ProcessVoice(
        voice.engine,
        voice.name,
        processes=voice.processes,
        cache_phrases=voice.cache_phrases,
        on_death=on_death,
    )
