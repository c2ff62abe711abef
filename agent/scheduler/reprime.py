"""When a model that speaks begins anew in the middle of a call, and what it is told then. Pure.

Its window slides: after minutes it has forgotten what it was told before the call, its role above all. So it is told
again, with what has been said since, before the window is full, in a silence in which nobody notices.
"""

from __future__ import annotations

from typing import Final

from agent.model.protocol import ModelSpec, OnContextFull
from agent.pool.messages import SAMPLES_PER_MS
from agent.scheduler.floor.table import FloorState
from agent.scheduler.seat import Seat

DUE: Final = 0.75
"""Share of the window from which a silence is waited for; without one the window slides."""
SILENCE: Final = 1000 * SAMPLES_PER_MS
"""Nobody has spoken for that long."""


def due_after(spec: ModelSpec) -> int:
    """Steps of a row from which it is due; 0: never."""
    if spec.on_context_full is not OnContextFull.REPRIME or spec.context_s is None:
        return 0
    return max(1, round(DUE * spec.context_s * 1000 / spec.step_ms))


def is_silent(seat: Seat) -> bool:
    """Nobody speaks, and nobody is about to."""
    floor = seat.floor
    if floor.state is not FloorState.OPEN or floor.turn_open or seat.held or seat.is_hushed or seat.own.is_speaking:
        return False
    return floor.now - max(floor.floor_free_at, floor.last_speech) >= SILENCE
