"""CPU time in units of a fixed piece of work: bounds that hold on a slow or stolen machine too."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

TRIES = 5


def _piece_of_work() -> None:
    """About 1 ms of an unloaded core of 2024: interpreter and numpy in equal parts."""
    total = 0
    for number in range(12_000):
        total += number & 7
    block = np.arange(4096, dtype=np.float64)
    for _ in range(12):
        block = np.abs(np.fft.rfft(block, 8190))


def least_cpu_s(work: Callable[[], object], tries: int = TRIES) -> float:
    """CPU seconds of the quickest of some tries: interruptions only add."""

    def once() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return min(once() for _ in range(tries))


def yard_s() -> float:
    """CPU seconds of the fixed piece of work, on this machine now."""
    return least_cpu_s(_piece_of_work, 4 * TRIES)


def yards(work: Callable[[], object]) -> float:
    """CPU of `work` over that of the piece of work, the quickest of some tries each."""
    return least_cpu_s(work) / yard_s()
