"""How long this thread has stood ready without a core: time that a step took and that was no work of its own."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

SCHEDSTAT = Path("/proc/thread-self/schedstat")
"""Linux: nanoseconds on a core, nanoseconds ready without one, time slices (Documentation/scheduler/sched-stats)."""


class CpuWait:
    """Reads the counter of the thread that asks first; a kernel without it counts no waiting."""

    def __init__(self, path: Path = SCHEDSTAT) -> None:
        self._path: Path | None = path
        self._file: int | None = None

    def total_s(self) -> float:
        """Seconds without a core so far."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._file = os.open(self._path, os.O_RDONLY)
            self._path = None
        if self._file is None:
            return 0.0
        return int(os.pread(self._file, 64, 0).split()[1]) / 1e9

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._path = self._file = None


def load_of(took_s: float, waited_s: float) -> float:
    """Seconds of a step that count as load: its own, and of its waiting for a core as much again.

    A step that a neighbour's program pre-empted for long would be no shorter with fewer calls; but where our own
    processes fill the machine, every step waits, and new calls must stay out.
    """
    own_s = max(took_s - waited_s, 0.0)
    return min(took_s, 2.0 * own_s)
