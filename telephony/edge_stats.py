"""What an edge tells of itself: lateness of its ticks, CPU time, counters, scheduling class."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telephony.priority import set_group_nice

_BIN_MS = 0.05
_BINS = 4000  # up to 200 ms; the last bin takes the rest
_FIFO_PRIORITY = 10
_NICE = -10


class Histogram:
    """Milliseconds in bins of 50 µs. Adding one value allocates nothing worth naming."""

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(_BINS, np.int64)

    def add(self, value_ms: float) -> None:
        self._counts[min(max(int(value_ms / _BIN_MS), 0), _BINS - 1)] += 1

    def percentiles(self) -> dict[str, float]:
        """Upper edges of the bins that hold p50, p99 and p999."""
        total = int(self._counts.sum())
        if total == 0:
            return {"p50": 0.0, "p99": 0.0, "p999": 0.0}
        reached = np.cumsum(self._counts)
        shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
        return {
            name: round((int(np.searchsorted(reached, share * total)) + 1) * _BIN_MS, 2)
            for name, share in shares.items()
        }

    def clear(self) -> None:
        self._counts[:] = 0


@dataclass(slots=True)
class EdgeStats:
    """Counters of one edge process."""

    scheduling: str = "other"
    tick_late: Histogram = field(default_factory=Histogram)
    """How late a sub-tick began."""
    send_late: Histogram = field(default_factory=Histogram)
    """How late after the start of its sub-tick the last packet of a phase was sent."""
    work: Histogram = field(default_factory=Histogram)
    """CPU time of a sub-tick: with it, waiting for the processor can be told from work."""
    ticks: int = 0
    skipped_ticks: int = 0
    """Ticks of 20 ms that were never done because we were stopped."""
    invalid: int = 0
    """Datagrams that were no packet of a negotiated payload type."""
    send_errors: int = 0
    control_errors: int = 0

    def to_json(self, **more: Any) -> dict[str, Any]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "pid": os.getpid(),
            "scheduling": self.scheduling,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "max_rss_mb": usage.ru_maxrss / 1024.0,
            "involuntary_switches": usage.ru_nivcsw,
            "tick_late_ms": self.tick_late.percentiles(),
            "send_late_ms": self.send_late.percentiles(),
            "work_cpu_ms": self.work.percentiles(),
            "ticks": self.ticks,
            "skipped_ticks": self.skipped_ticks,
            "invalid": self.invalid,
            "send_errors": self.send_errors,
            "control_errors": self.control_errors,
            **more,
        }


def raise_priority(*, below: int = 0) -> str:
    """Ask for real-time scheduling of the calling thread, then for a better nice value; what was granted.

    ``below``: that much under an edge's own priority, for those that may never hold one up.

    Only this thread: a process that is FIFO as a whole can starve itself.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_FIFO_PRIORITY - below))
        return f"fifo {_FIFO_PRIORITY - below}"
    except (OSError, AttributeError):
        pass
    try:
        granted = os.nice(_NICE)
    except OSError:
        return "other"
    set_group_nice(_NICE)
    return f"nice {granted}"
