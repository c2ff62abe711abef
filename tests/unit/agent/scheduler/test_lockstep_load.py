"""Calls join and leave while a card is as busy as one was measured, in virtual time: nobody else is late."""

from __future__ import annotations

import numpy as np
import pytest

from agent.scheduler.lockstep import Lockstep
from tests.unit.agent.scheduler.test_lockstep import Repeater

PHASES = 4
PHASE_S = 0.005


class Card(Repeater):
    """A step takes ``cost_s`` of virtual time."""

    def __init__(self, rows: int, cost_s: float) -> None:
        super().__init__(rows)
        self.cost_s, self.now, self.done_at = cost_s, 0.0, 0.0

    def begin(self, inputs):  # type: ignore[no-untyped-def]
        super().begin(inputs)
        self.steps = self.steps[-1:]
        self.done_at = self.now + self.cost_s

    def is_done(self) -> bool:
        return self.now >= self.done_at


@pytest.mark.parametrize(
    ("rows", "cost_s"),
    [
        (32, 0.0313),  # H100, bf16, full windows: the longest tick in which a call joined
        (64, 0.0384),  # H200, bf16
        (128, 0.0607),  # H200, 8-bit memory
    ],
)
def test_joins_and_leaves_make_nobody_late(rows: int, cost_s: float) -> None:
    card = Card(rows, cost_s)
    lockstep = Lockstep(card, rows=rows, is_hushed=lambda row: False)
    rng = np.random.default_rng(5)
    seated = set(range(rows - 2))
    since = dict.fromkeys(seated, 0)
    for row in seated:
        lockstep.join(row)
    holes = dict.fromkeys(range(rows), 0)
    first_said: list[int] = []
    for tick in range(600):  # 12 s
        if tick % 10 == 9:
            gone = int(rng.choice(sorted(seated)))
            lockstep.leave(gone)
            seated.discard(gone)
            fresh = int(rng.choice(sorted(set(range(rows)) - seated - {gone})))
            lockstep.join(fresh)
            seated.add(fresh)
            since[fresh], holes[fresh] = tick, 0
        for phase in range(PHASES):
            card.now = (tick * PHASES + phase) * PHASE_S
            lockstep.finish(card.now)
            mine = np.array([row for row in sorted(seated) if row % PHASES == phase], np.intp)
            if len(mine):
                frames = np.full((len(mine), 160), tick % 30_000 + 1, np.int16)
                lockstep.hear(mine, frames, frames)
                for row in mine.tolist():
                    said = lockstep.next_frame(row)[1]
                    if said < 0:
                        holes[row] += 1
                    elif since[row] >= 0:
                        first_said.append(tick - since[row])
                        since[row] = -1
            lockstep.begin(card.now)
    assert lockstep.counters.steps == pytest.approx(600 / 4, abs=2)
    assert lockstep.counters.starved == 0
    assert lockstep.counters.waited == 0
    assert lockstep.counters.concealed == 0
    assert max(first_said) * 0.02 <= 0.08 + cost_s + 0.06, (
        "a step to join, its answer, a frame to spare and one of phase"
    )
