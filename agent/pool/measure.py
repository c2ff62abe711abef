"""What one step costs on this machine, by batch size: the ground of admission.

A worker starts while its neighbours start, and a neighbour on the same core adds whole time slices to a wall clock
that say nothing about the model (measured: 4 ms at p99 for a step of 0.3 ms). So a step counts as the larger of the
p99 of this thread's CPU time and the median of its wall time: the first shows what varies, the second what waits
(a device, helper threads).

Neighbours also take caches and clock speed, which shows in CPU time. They come and go, the model's own cost stays: the
same steps are done in several windows, and each counts with the cheapest of its times. What varies from step to step
by the model's own doing is in every window. The dearest window is told beside it. What neighbours really take is
watched afterwards, in wall time.
"""

from __future__ import annotations

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.model.protocol import CanAge, DuplexModel, Speaker, StepInput
from agent.pool.messages import SAMPLES_PER_MS, OpenSeat
from agent.scheduler.admission import CURVE, Admission, StepCosts, percentile
from agent.scheduler.tick import Scheduler
from telephony.link import ALL_SENT, FRAME_SAMPLES, InBatch

WINDOWS: Final = 5
STEPS: Final = 25
"""Steps per window: their p99 is the dearest of them."""
MAX_SPEAKER_S: Final = 8.0
MAX_S: Final = 2.0
"""Time for the whole curve; larger sizes are then left out and admission extrapolates."""


def measure_steps(model: DuplexModel, *, rows: int, phases: int) -> StepCosts:
    """p99 of one whole step (model, floor, audio) for batches up to ``rows / phases`` rows, in milliseconds.

    Leaves all rows released. The audio is faint noise: it costs the model what speech costs, and wakes no recogniser.
    """
    admission = Admission(offered=rows, step_ms=model.spec.step_ms)
    scheduler = Scheduler(model, rows=model.spec.rows, admission=admission)
    largest = max(1, -(-rows // phases))
    sizes = sorted({size for size in CURVE if size < largest} | {largest})
    rng = np.random.default_rng(7)
    best: dict[int, float] = {}
    worst: dict[int, float] = {}
    began = time.perf_counter()
    for size in sizes:
        _seat(scheduler, size)
        noise = rng.integers(-30, 30, (size, FRAME_SAMPLES), np.int16)
        windows = np.array([_window_s(scheduler, noise, link=WINDOWS * size + n) for n in range(WINDOWS)])
        best[size], worst[size] = 1000 * _cost_s(windows.min(axis=0)), 1000 * max(map(_cost_s, windows))
        if time.perf_counter() - began > MAX_S or best[size] * phases > model.spec.step_ms:
            break
    for seat in scheduler.table.calls():
        scheduler.close(seat, "closed")
    scheduler.settle()
    return StepCosts(best, worst_ms=worst)


def measure_speaker(speaker: Speaker, *, rows: int) -> StepCosts:
    """p99 of one step of a model that steps all rows together, by rows that move, in milliseconds of wall time.

    The rows are as old as they can be, where the model can pretend that: what is offered holds for the whole of a call.
    Leaves every row to be reset by its next call.
    """
    n = speaker.spec.step_ms * SAMPLES_PER_MS
    held = speaker.spec.rows
    sizes = sorted({size for size in CURVE if size < rows} | {rows})
    no = np.zeros(held, np.bool_)
    pcm = np.random.default_rng(7).integers(-30, 30, (held, n)).astype(np.int16)
    costs: dict[int, float] = {}
    began = time.perf_counter()
    for size in sizes:
        mask = np.arange(held) < size
        inputs = StepInput(pcm=pcm, own=np.zeros_like(pcm), mask=mask, reset=mask, lost=no, speaking=no)
        speaker.step(inputs)
        inputs.reset = no
        if isinstance(speaker, CanAge):
            for row in range(size):
                speaker.age(row)
        times = []
        for _ in range(STEPS):
            start = time.perf_counter()
            speaker.step(inputs)
            times.append(time.perf_counter() - start)
        costs[size] = 1000 * max(percentile(sorted(times)[:-1], 0.99), percentile(times, 0.5))
        if time.perf_counter() - began > MAX_SPEAKER_S or costs[size] > speaker.spec.step_ms:
            break
    return StepCosts(costs)


def _seat(scheduler: Scheduler, count: int) -> None:
    for i in range(len(scheduler.table), count):
        scheduler.open(OpenSeat(call_id=f"measure-{i}", profile={}, persona={}))


def _window_s(scheduler: Scheduler, noise: NDArray[np.int16], *, link: int) -> NDArray[np.float64]:
    """(2, steps) CPU and wall time of each step. ``link``: of its own, because tick numbers begin anew."""
    size = len(noise)
    calls = scheduler.table.calls()
    rows = np.array([seat.row for seat in calls], np.uint16)
    seats = np.array([seat.number for seat in calls], np.uint32)
    cpu, wall = [], []
    for tick in range(STEPS * scheduler.frames):
        played = np.full(size, tick, np.uint32)
        sent = np.full(size, ALL_SENT, np.uint32)
        batch = InBatch(tick, 0, 0.0, rows, seats, np.zeros(size, np.uint8), played, sent, played, noise)
        wall_start, cpu_start = time.perf_counter(), time.thread_time()
        scheduler.step(batch, link=link)
        wall_s, cpu_s = time.perf_counter() - wall_start, time.thread_time() - cpu_start
        if tick % scheduler.frames == scheduler.frames - 1:
            wall.append(wall_s)
            cpu.append(cpu_s)
    scheduler.take_events()
    return np.array([cpu, wall])


def _cost_s(times_s: NDArray[np.float64]) -> float:
    cpu, wall = times_s.tolist()
    return max(percentile(cpu, 0.99), percentile(wall, 0.5))
