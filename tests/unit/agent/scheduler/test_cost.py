from __future__ import annotations

import time

import numpy as np

from telephony.link import ALL_SENT, InBatch
from tests.unit.agent.scheduler.engine import Engine
from tests.yardstick import yard_s

ROWS = 64
BUDGET_YARDS = 160.0
"""CPU of all row-steps here, floor and speech included, the model left out, in units of tests/yardstick.py:
25 us of an unloaded core per row-step (measured: 3.2 silent, 4.6 speaking, which is about 30)."""


def test_a_row_step_costs_less_than_its_budget() -> None:
    engine = Engine(rows=ROWS)
    for k in range(ROWS):
        engine.open(str(k))
        engine.say(1, words=40, call_id=str(k))
    scheduler, model_s = engine.scheduler, 0.0
    model_step = scheduler.model.step

    def timed_step(inputs: object) -> object:
        nonlocal model_s
        began = time.thread_time()
        output = model_step(inputs)  # type: ignore[arg-type]
        model_s += time.thread_time() - began
        return output

    scheduler.model.step = timed_step  # type: ignore[method-assign, assignment]
    rows = np.arange(ROWS, dtype=np.uint16)
    seats = np.array([number for _, number in engine.seats.values()], np.uint32)
    steps, pcm = 100, np.zeros((ROWS, 160), np.int16)
    began = time.thread_time()
    for tick in range(steps):
        played = np.full(ROWS, tick, np.uint32)
        flags, sent = np.zeros(ROWS, np.uint8), np.full(ROWS, ALL_SENT, np.uint32)
        scheduler.step(InBatch(tick, 0, 0.0, rows, seats, flags, played, sent, played, pcm), link=0)
        scheduler.take_events()
    spent_s = time.thread_time() - began - model_s
    assert spent_s / yard_s() < BUDGET_YARDS
