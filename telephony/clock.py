"""The one place where a clock is read. Pure code gets ``now`` as an argument instead."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock in float seconds."""

    def now(self) -> float:
        """Seconds on a clock that never steps back."""
        ...


class MonotonicClock:
    """The machine's monotonic clock: the same for all processes of one host."""

    def now(self) -> float:
        return time.monotonic()
