"""Ears beside a model that speaks. Needs no torch: fakes show it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.expectation import Expect, ExpectKind
from agent.model.fakes import EnergyEars, _Fake
from agent.model.moshi.ears import WithEars
from agent.model.protocol import DuplexModel, HeardWords, Persona, StepInput, StepOutput
from agent.pool.messages import FloorMoved, TurnEnded, TurnStarted
from tests.unit.agent.scheduler.engine import LOUD, SILENCE, SPEECH, Engine

ROWS = 3


class Singer(_Fake):
    """Speaks without end, in steps of 80 ms, unless it is told to be silent; counts how often."""

    def __init__(self, rows: int = ROWS) -> None:
        super().__init__("singer", rows, emits_pcm=True, step_ms=80)
        self.silenced: list[int] = []

    def force(self, row: int, *, text: str | None) -> None:
        if text is None:
            self.silenced.append(row)

    def _advance(self, rows: NDArray[np.intp], inputs: StepInput, output: StepOutput) -> None:
        assert output.pcm is not None
        output.pcm[rows] = 5000
        self._state[rows, 0] += 1


class Ears(EnergyEars):
    """Energy ears that keep what they were given."""

    def __init__(self, rows: int = ROWS, *, step_ms: int = 20) -> None:
        super().__init__(rows, step_ms=step_ms)
        self.given: list[StepInput] = []

    def step(self, inputs: StepInput) -> StepOutput:
        output = super().step(inputs)
        self.given.append(StepInput(**{name: getattr(inputs, name) for name in StepInput.__dataclass_fields__}))
        output.words = [HeardWords(row=0, words=(str(len(self.given)),), final=False, confidence=1.0)]
        return output


def inputs(level: int, *, parts: int = 4) -> StepInput:
    pcm = np.full((ROWS, 640), 0, np.int16)
    pcm[:, : 160 * parts] = level
    no = np.zeros(ROWS, np.bool_)
    expects = {1: Expect(kind=ExpectKind.YES_NO)}
    return StepInput(pcm=pcm, own=pcm + 1, mask=~no, reset=~no, lost=no, speaking=no, expects=expects)


def test_ears_hear_each_part_of_the_models_step_once() -> None:
    ears = Ears()
    both = WithEars(Singer(), ears)
    out = both.step(inputs(3000))
    assert [one.pcm.shape for one in ears.given] == [(ROWS, 160)] * 4
    assert [bool(one.reset.any()) for one in ears.given] == [True, False, False, False]
    assert [len(one.expects) for one in ears.given] == [1, 0, 0, 0]
    assert (ears.given[2].own == ears.given[2].pcm + 1).all()
    assert [heard.words for heard in out.words] == [("1",), ("2",), ("3",), ("4",)]
    assert out.pcm is not None
    assert (out.pcm == 5000).all()


def test_what_was_true_in_a_step_is_true_of_it_and_an_end_must_last() -> None:
    both = WithEars(Singer(), Ears())
    assert (both.step(inputs(20000, parts=1)).p_take == 1).all(), "loud in the first part only"
    for _ in range(2):
        both.step(inputs(0))
    quiet = both.step(inputs(0))
    quiet.p_end[:] = 0
    for _ in range(5):
        out = both.step(inputs(0))
    assert (out.p_end == 0).all(), "a reset in every step: no speech before the silence"


def test_spec_is_the_speakers_with_the_ears_scores() -> None:
    spec = WithEars(Singer(), Ears()).spec
    assert (spec.name, spec.step_ms, spec.emits_pcm, spec.emits_scores) == ("singer+energy", 80, True, True)


@pytest.mark.parametrize(("step_ms", "told"), [(60, "does not divide 80 ms"), (160, "does not divide 80 ms")])
def test_ears_whose_steps_do_not_fit_are_refused(step_ms: int, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        WithEars(Singer(), Ears(step_ms=step_ms))


def test_both_halves_of_a_row_move() -> None:
    here, there = WithEars(Singer(), Ears()), WithEars(Singer(), Ears())
    for _ in range(3):
        here.step(inputs(3000))
    there.restore(2, here.snapshot(1))
    assert there.snapshot(2) == here.snapshot(1)
    for blob in (b"", b"none" + bytes(20), here.snapshot(1)[:-3]):
        with pytest.raises(ModelError, match="snapshot"):
            there.restore(0, blob)


def test_row_that_the_ears_refuse_is_free_again() -> None:
    both: DuplexModel = WithEars(Singer(), Ears())
    ears = both._ears  # type: ignore[attr-defined]
    ears.admit(0, Persona())
    with pytest.raises(ModelError, match="row 0 was not released"):
        both.admit(0, Persona())
    ears.release(0)
    both.admit(0, Persona())


def test_caller_takes_the_floor_from_a_model_that_never_stops() -> None:
    """Ears judge, the floor yields, silence begins at once and the model is told to be silent too."""
    singer = Singer()
    engine = Engine(WithEars(singer, Ears()), rows=ROWS)
    engine.open()
    engine.run(400)
    assert any(engine.speech["a"]), "it speaks by itself"
    assert not singer.silenced
    engine.run(240, LOUD)
    after = [move.after for move in engine.all(FloorMoved)]
    assert "yielding" in after or "caller" in after
    assert not engine.out["a"][-1].any()
    assert set(singer.silenced) == {0}
    engine.until(TurnEnded, SILENCE)
    told = len(singer.silenced)
    engine.run(800)
    assert any(engine.speech["a"][-20:]), "it goes on when the floor is free"
    assert len(singer.silenced) - told <= 2


def test_speech_over_it_that_takes_nothing_leaves_it_its_voice() -> None:
    singer = Singer()
    engine = Engine(WithEars(singer, Ears()), rows=ROWS)
    engine.open()
    engine.run(400)
    engine.run(80, SPEECH)
    engine.run(800)
    assert not engine.all(TurnStarted)
    assert not singer.silenced
    assert all(engine.speech["a"][-10:])
