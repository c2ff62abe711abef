"""What all sessions share: the adapters that the front has picked, and the settings of the default agent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.brain.protocol import Brain
from agent.config import AgentConfig, RecordingConfig
from agent.logging import Log
from agent.ports import Decisions, Measures, Pool, Watch, watched_by_nobody
from agent.scribe import Scribe
from agent.voice.protocol import Voice
from telephony.clock import Clock
from telephony.events import LegInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One instance for all calls of a front."""

    pool: Pool
    voice: Voice
    brain: Brain
    decisions: Decisions
    new_scribe: Callable[[], Scribe]
    new_measures: Callable[[LegInfo], Measures]
    log: Log
    agent: AgentConfig
    recording: RecordingConfig
    gateway: str
    clock: Clock
    wall: Callable[[], float]
    """Aware-UTC epoch seconds, for records and events."""
    watch: Watch = watched_by_nobody
    """Told of everything that happens, as it happens."""
    brain_of: Callable[[str], Brain | None] = lambda name: None
    """The brain of a named agent; ``None``: there is no such agent, the default one answers."""
