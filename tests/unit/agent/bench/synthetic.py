"""Recordings whose answers are known by construction: speech is a steady tone, silence is zeros."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.bench.evidence import AgentChannel, CallEvidence, Control, ServiceLog
from agent.simulator.energy import Pcm
from agent.simulator.truth import EventType, TruthEvent


def spoken(*spans: tuple[float, float], length_s: float = 20.0, amplitude: float = 6000.0) -> Pcm:
    """A tone in each (start, end), zeros elsewhere."""
    return shaped([(start, end, amplitude) for start, end in spans], length_s=length_s)


def shaped(spans: Sequence[tuple[float, float, float]], *, length_s: float = 20.0) -> Pcm:
    """A tone of its own amplitude in each (start, end, amplitude)."""
    t = np.arange(round(length_s * 8000)) / 8000
    wave = np.sin(2 * np.pi * 440 * t)
    gain = np.zeros(len(t))
    for start, end, amplitude in spans:
        gain[round(start * 8000) : round(end * 8000)] = amplitude
    return (wave * gain).astype(np.int16)


def babbled(spans: Sequence[tuple[float, float, float]], *, length_s: float = 20.0, seed: int = 3) -> Pcm:
    """As ``shaped``, of noise: unlike a tone it can be aligned in time."""
    noise = np.random.default_rng(seed).standard_normal(round(length_s * 8000)).clip(-3, 3) / 3
    gain = np.zeros(len(noise))
    for start, end, amplitude in spans:
        gain[round(start * 8000) : round(end * 8000)] = amplitude
    return (noise * gain).astype(np.int16)


def event(type_: EventType, start: float, end: float, *, expect: str = "none", sent: bool = True) -> TruthEvent:
    label = f"{type_}-{start}"
    return TruthEvent(call="c", id=label, type=type_, start=start, end=end, expect=expect, sent=sent, item=label)


def turn(start: float, end: float, *, expect: str = "reply") -> TruthEvent:
    return event(EventType.TURN, start, end, expect=expect)


def call(
    agent: Pcm,
    *events: TruthEvent,
    left: float | None = None,
    log: ServiceLog | None = None,
    controls: dict[str, Control] | None = None,
) -> CallEvidence:
    """One call; ``left`` is what the control run had left at every event."""
    if left is not None:
        controls = {one.item: Control(left_s=left) for one in events}
    return CallEvidence(
        call="c", events=events, agent=AgentChannel(agent), log=log or ServiceLog(), controls=controls or {}
    )
