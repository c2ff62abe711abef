"""One step for all phases: frames gathered, an answer that takes its time, rows that come, go and are late."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from agent.model.duet import WithEars
from agent.model.fakes import EnergyEars, _Fake
from agent.model.protocol import StepInput, StepOutput
from agent.pool.messages import CloseSeat
from agent.scheduler.lockstep import LOOK_BACK, MOST_SPARE, Lockstep
from tests.unit.agent.scheduler.engine import Engine

ROWS = 4
TICK_S = 0.02


class Repeater(_Fake):
    """Says in each step of 80 ms what it has heard in it; its answer is there when ``ready`` says so."""

    def __init__(self, rows: int = ROWS) -> None:
        super().__init__("repeater", rows, emits_pcm=True, step_ms=80)
        self.steps: list[StepInput] = []
        self.ready = True
        self.silenced: list[int] = []
        self._answer: StepOutput | None = None

    def force(self, row: int, *, text: str | None) -> None:
        self.silenced.append(row)

    def begin(self, inputs: StepInput) -> None:
        kept = {name: np.copy(getattr(inputs, name)) for name in ("pcm", "own", "mask", "reset", "lost", "speaking")}
        self.steps.append(StepInput(**kept))
        self._answer = self.step(inputs)

    def is_done(self) -> bool:
        return self.ready

    def finish(self) -> StepOutput:
        assert self._answer is not None
        return self._answer

    def _advance(self, rows: np.ndarray, inputs: StepInput, output: StepOutput) -> None:  # type: ignore[type-arg]
        assert output.pcm is not None
        output.pcm[rows] = inputs.pcm[rows]


class Line:
    """Frames of rows into a lockstep; each frame of row ``r`` at its ``n``-th tick is ``100 r + n + 1``."""

    def __init__(self, rows: int = ROWS) -> None:
        self.model = Repeater(rows)
        self.hushed: set[int] = set()
        self.lockstep = Lockstep(self.model, rows=rows, is_hushed=self.hushed.__contains__)
        self.now = 0.0
        self.count = dict.fromkeys(range(rows), 0)
        self.said: dict[int, list[int]] = {row: [] for row in range(rows)}

    def hear(self, *rows: int) -> None:
        numbers = np.array(rows, np.intp)
        for row in rows:
            self.count[row] += 1
        frames = np.stack([np.full(160, 100 * row + self.count[row], np.int16) for row in rows])
        self.lockstep.hear(numbers, frames, frames)
        for row in rows:
            self.said[row].append(int(self.lockstep.next_frame(row)[0][0]))

    def advance(self) -> None:
        self.lockstep.finish(self.now)
        self.lockstep.begin(self.now)

    def tick(self, *rows: int) -> None:
        """20 ms: the answer of before is taken when it is there, then the frames come, then a step may begin."""
        self.advance()
        self.hear(*rows)
        self.advance()
        self.now += TICK_S


def heard(step: StepInput, row: int) -> list[int]:
    return [int(step.pcm[row, 160 * part]) for part in range(4)]


def seated(*rows: int) -> Line:
    line = Line()
    for row in rows:
        line.lockstep.join(row)
    return line


def test_phases_of_a_tick_are_one_step() -> None:
    line = seated(0, 1, 2, 3)
    for _ in range(13):
        for row in range(ROWS):  # a phase each, and the loop looks in after each
            line.hear(row)
            line.advance()
    assert [int(step.mask.sum()) for step in line.model.steps] == [4, 4, 4]
    assert heard(line.model.steps[0], 1) == [0, 101, 102, 103], "the first to be ready sets the pace"
    assert heard(line.model.steps[1], 0) == [5, 6, 7, 8]
    assert heard(line.model.steps[2], 3) == [308, 309, 310, 311]
    assert line.lockstep.counters.concealed == 0


def test_what_it_says_is_handed_out_frame_by_frame_without_a_hole() -> None:
    line = seated(1)
    for _ in range(40):
        line.tick(1)
    said = line.said[1]
    first = said.index(101)
    assert said[first:] == list(range(101, 101 + 40 - first))
    assert first <= 5, "a step, and one frame to spare"
    assert line.lockstep.counters.starved == 0


def test_step_that_takes_its_time_costs_silence_once() -> None:
    line = seated(0)
    for tick in range(100):
        line.model.ready = tick % 4 == 2  # 60 ms after its audio was there
        line.tick(0)
    said = line.said[0][12:]
    gaps = sum(later != before + 1 for before, later in pairwise(said))
    assert gaps == 0
    assert line.lockstep.counters.waited == 0


def test_row_that_is_late_is_waited_for_no_longer_than_a_frame() -> None:
    line = seated(0, 1)
    for _ in range(8):
        line.tick(0, 1)
    before = len(line.model.steps)
    for _ in range(4):
        line.tick(0)  # row 1 sends nothing
    assert len(line.model.steps) == before, "ready but for row 1"
    line.tick(0)
    step = line.model.steps[-1]
    assert len(line.model.steps) == before + 1
    assert heard(step, 0) == [9, 10, 11, 12]
    assert not step.mask[1], "nothing has come: it rests"
    for _ in range(3):
        line.tick(0)
    assert len(line.model.steps) == before + 2, "and nobody waits for it again"
    assert heard(line.model.steps[-1], 0) == [13, 14, 15, 16]


def test_frame_that_is_known_to_be_lost_is_made_up() -> None:
    line = seated(0, 1)
    for _ in range(7):
        line.tick(0, 1)
    line.hear(0)
    line.lockstep.conceal(np.array([1]))
    line.advance()
    step = line.model.steps[-1]
    assert heard(step, 1) == [105, 106, 107, int(107 * 0.7)]
    assert step.lost.tolist() == [False, True, False, False]


def test_frame_that_comes_after_its_step_is_not_behind_for_ever() -> None:
    line = seated(0, 1)
    for _ in range(7):
        line.tick(0, 1)
    line.tick(0)
    line.tick(0)  # a frame later the step begins without it
    assert heard(line.model.steps[-1], 1) == [105, 106, 107, int(107 * 0.7)]
    assert line.lockstep.counters.concealed == 1
    line.hear(1)
    for _ in range(7):
        line.tick(0, 1)
    assert heard(line.model.steps[-1], 0) == [13, 14, 15, 16]
    assert heard(line.model.steps[-1], 1)[-1] == line.count[1] - line.count[0] + 116
    assert line.lockstep.counters.concealed == 1


def test_call_joins_the_next_step_on_what_has_come_of_it() -> None:
    line = seated(0)
    for _ in range(6):
        line.tick(0)
    line.lockstep.join(2)
    line.tick(0, 2)
    line.tick(0, 2)
    line.tick(0, 2)
    joined = next(step for step in line.model.steps if step.mask[2])
    assert heard(joined, 2) == [0, 0, 0, 201] or heard(joined, 2) == [0, 0, 201, 202]
    assert joined.reset.tolist() == [False, False, True, False]
    assert joined.mask[0]


def test_call_that_leaves_is_not_waited_for_and_its_answer_is_for_nobody() -> None:
    line = seated(0, 1)
    for _ in range(4):
        line.tick(0, 1)
    line.model.ready = False
    for _ in range(4):
        line.tick(0, 1)
    line.lockstep.leave(1)
    line.lockstep.join(1)
    line.model.ready = True
    output = line.lockstep.finish(line.now)
    assert output is not None
    assert output.valid.tolist() == [True, False, False, False]


def test_floor_that_is_not_the_models_silences_it_inside() -> None:
    line = seated(0, 1)
    line.hushed.add(1)
    for _ in range(9):
        line.tick(0, 1)
    assert set(line.model.silenced) == {1}


def test_device_that_cannot_keep_up_is_counted_and_no_delay_grows() -> None:
    line = seated(0)
    begun, since = 0, 0
    for _ in range(60):
        if len(line.model.steps) > begun:
            begun, since = len(line.model.steps), 0
        since += 1
        line.model.ready = since > 6  # 120 ms for 80 ms of audio
        line.tick(0)
    assert line.lockstep.counters.waited > 5
    behind = line.count[0] - heard(line.model.steps[-1], 0)[-1]
    assert behind <= 6
    line.model.ready = True
    for _ in range(8):
        line.tick(0)
    assert line.count[0] - heard(line.model.steps[-1], 0)[-1] <= 4, "at most a frame ahead of its step"


def test_delay_that_a_slow_step_has_left_is_lost_again() -> None:
    line = seated(0)
    for _ in range(8):
        line.tick(0)
    line.model.ready = False
    for _ in range(4):
        line.tick(0)
    line.model.ready = True
    for _ in range(8 * LOOK_BACK):
        line.tick(0)
    assert line.count[0] - line.said[0][-1] <= 4 + MOST_SPARE + 1
    assert line.lockstep.counters.starved <= 5


@pytest.mark.parametrize("phases", [1, 4])
def test_engine_of_ears_and_speaker_keeps_calls_apart(phases: int) -> None:
    model = Repeater()
    engine = Engine(WithEars(model, EnergyEars(ROWS)), rows=ROWS)
    engine.open("a")
    engine.open("b")
    for tick in range(60):
        engine.step({"a": np.full(160, 500 + tick, np.int16), "b": np.full(160, 900 + tick, np.int16)})
        if tick == 30:
            engine.send(CloseSeat(call_id="b"))
            del engine.seats["b"]
    a, b = (np.array([int(frame[0]) for frame in engine.out[call]]) for call in "ab")
    assert set(a[10:].tolist()) <= set(range(500, 560))
    assert set(b[10:].tolist()) <= set(range(900, 960))
    assert not set(engine.all()) - {"SeatClosed"}
