"""What sounds while we speak, and what we do about it: plan, place, stop, stumble, go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.training.chance import weighted
from agent.training.conversation.labels import Overlap

Rng = np.random.Generator
RATE_HZ: Final = 8000
KINDS: Final = (
    (Overlap.TAKES, 0.27),
    (Overlap.BACKCHANNEL, 0.32),
    (Overlap.TIC, 0.13),
    (Overlap.SIDE, 0.14),
    (Overlap.NOISE, 0.14),
)
EVERY_S: Final = 1.6
"""About one event in so much of our speech …"""
APART: Final = 11_200
"""… with at least 1.4 s from one onset to the next."""
STUMBLES: Final = 0.12
"""How often we stop for something that takes nothing: stopping must not tell the class."""
STANDS_FAST: Final = 0.35
"""How often we do not stop for an interruption: if we always did, going on would tell that it is none."""
SLOW: Final = 0.3
"""How often it takes us more than 1.2 s to stop."""


@dataclass(frozen=True, slots=True)
class Planned:
    """An event at an offset in our utterance."""

    kind: Overlap
    offset: int


def plan(length: int, rng: Rng) -> list[Planned]:
    """Events of an utterance of ``length`` samples, at all points of it; nothing follows an interruption."""
    found: list[Planned] = []
    count = int(rng.poisson(length / RATE_HZ / EVERY_S))
    offsets = sorted(int(at) for at in rng.uniform(0.03, 0.97, min(count, 6)) * length)
    for offset in offsets:
        if found and offset - found[-1].offset < APART:
            continue
        kind = weighted(KINDS, rng)
        found.append(Planned(kind, offset))
        if kind is Overlap.TAKES:
            break
    return found


def stops_after(kind: Overlap, rng: Rng, *, patient: bool = False) -> int | None:
    """Samples from an event's onset until we are silent; ``None`` where we go on, as the patient always do."""
    if patient:
        return None
    if kind is Overlap.TAKES:
        if rng.random() < STANDS_FAST:
            return None
        slow = rng.random() < SLOW
        return round((rng.uniform(1.2, 2.8) if slow else rng.uniform(0.25, 1.2)) * RATE_HZ)
    return round(rng.uniform(0.25, 1.2) * RATE_HZ) if rng.random() < STUMBLES else None
