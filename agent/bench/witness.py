"""Who takes the processor away: the host, or we? One process per processor wakes every millisecond and notes when not.

A witness runs at a real-time priority above that of every process of the service. If it is late, then nothing of ours
was in its way: the processor itself was gone (stolen by the host of a virtual machine), or the kernel kept it. A packet
that is late while no witness is, is late by our own doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

PERIOD_S = 0.001
HOLE_S = 0.001
"""Later than this is a hole."""
PRIORITY = 30
"""Above the edge's."""
MOST_HOLES = 200_000

Hole = tuple[float, float]
"""From when (due) to when (awake) a processor did not run its witness, monotonic."""


@dataclass(slots=True)
class Evidence:
    """What the witnesses saw."""

    holes: list[list[Hole]] = field(default_factory=list)
    """By processor, in order of time."""
    is_realtime: bool = False
    """They ran ahead of everything of ours. Otherwise their holes tell nothing about the host."""

    def gone_s(self, start: float, end: float) -> float:
        """Longest time for which one processor was gone within ``[start, end]``; 0 where nobody can tell."""
        if not self.is_realtime:
            return 0.0
        return max((_overlap(holes, start, end) for holes in self.holes), default=0.0)

    def longest_s(self) -> float:
        return max((end - start for holes in self.holes for start, end in holes), default=0.0)

    def total_s(self) -> float:
        return sum(end - start for holes in self.holes for start, end in holes)


def _overlap(holes: Sequence[Hole], start: float, end: float) -> float:
    return sum(max(0.0, min(end, to) - max(start, since)) for since, to in holes)


@contextlib.asynccontextmanager
async def witnesses() -> AsyncIterator[Evidence]:
    """Witnesses on every processor that we may use; what they saw is complete after the block."""
    seen = Evidence()
    code = "from agent.bench.witness import main; main()"
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-c", code, str(core), stdout=asyncio.subprocess.PIPE, limit=1 << 26
        )
        for core in cores
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            await process.stdout.readline()  # it watches from now on
        yield seen
    finally:
        told = []
        for process in processes:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            output, _ = await process.communicate()
            told.append(json.loads(output or b"{}"))
        seen.holes += [[(float(a), float(b)) for a, b in one.get("holes", [])] for one in told]
        seen.is_realtime = all(bool(one.get("is_realtime")) for one in told)


def main() -> None:
    """Process entry: watch the processor that the first argument names until SIGTERM, then tell."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setaffinity(0, {int(sys.argv[1])})
    is_realtime = _go_first()
    sys.stdout.write("watching\n")
    sys.stdout.flush()
    holes = _watch(stopping)
    sys.stdout.write(json.dumps({"is_realtime": is_realtime, "holes": holes}))


def _go_first() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except (OSError, AttributeError):
        return False
    return True


def _watch(stopping: Sequence[int]) -> list[Hole]:
    holes: list[Hole] = []
    due = time.monotonic() + PERIOD_S
    while not stopping and len(holes) < MOST_HOLES:
        time.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        if now - due > HOLE_S:
            holes.append((due, now))
        due = max(due + PERIOD_S, now)
    return holes
