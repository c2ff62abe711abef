"""Who is far softer over our voice than before is not speaking to us."""

from __future__ import annotations

import numpy as np
import pytest

from agent.model.parts.nearness import APART_MS, LEAST_MS, MOST_MS, SOFTER_DB, Nearness

STEP_MS = 20
ROW = np.zeros(1, np.intp)


class Line:
    """One caller, step by step."""

    def __init__(self) -> None:
        self.near = Nearness(1)
        self.silence_ms = 0

    def run(self, ms: int, level_db: float, *, over: bool, speech: bool = True) -> list[bool]:
        found = []
        for _ in range(ms // STEP_MS):
            self.silence_ms = 0 if speech else self.silence_ms + STEP_MS
            level = np.array([level_db], np.float32)
            flags = (np.array([speech]), np.array([over]), np.array([self.silence_ms]))
            found.append(bool(self.near.step(level, *flags, ROW, STEP_MS)[0]))
        return found


@pytest.mark.parametrize("softer_db", [SOFTER_DB + 1, SOFTER_DB - 1, -3.0])
def test_talk_much_softer_than_the_callers_own_is_left_and_no_other(softer_db: float) -> None:
    line = Line()
    assert not any(line.run(1000, -22.0, over=False))
    told = line.run(600, -22.0 - softer_db, over=True)
    assert told[LEAST_MS // STEP_MS - 1 :] == [softer_db > SOFTER_DB] * (31 - LEAST_MS // STEP_MS)


def test_a_caller_who_has_not_spoken_yet_has_no_level_to_compare_with() -> None:
    line = Line()
    assert not any(line.run(1000, -40.0, over=True))


def test_who_goes_on_for_long_or_speaks_up_means_us() -> None:
    line = Line()
    line.run(1000, -22.0, over=False)
    told = line.run(MOST_MS + 200, -36.0, over=True)
    assert told[MOST_MS // STEP_MS - 1]
    assert not told[-1]
    line.run(APART_MS + 100, -90.0, over=True, speech=False)
    assert line.run(200, -36.0, over=True)[-1], "another stretch"
    assert not line.run(200, -22.0, over=True)[-1], "louder"


def test_words_that_come_late_are_of_the_soft_stretch_still() -> None:
    line = Line()
    line.run(1000, -22.0, over=False)
    line.run(600, -36.0, over=True)
    assert all(line.run(600, -90.0, over=True, speech=False))
    assert not line.run(20, -22.0, over=True)[0], "a new stretch has no level yet"
    assert not any(line.run(100, -22.0, over=False))
