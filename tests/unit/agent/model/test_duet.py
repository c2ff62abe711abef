"""Ears beside a model that speaks. Needs no torch: fakes show it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.model.duet import WithEars
from agent.model.fakes import EnergyEars, _Fake
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


def vars_of(one: StepInput) -> dict[str, Any]:
    return {name: getattr(one, name) for name in StepInput.__dataclass_fields__}


def inputs(level: int) -> StepInput:
    pcm = np.full((ROWS, 160), level, np.int16)
    no = np.zeros(ROWS, np.bool_)
    return StepInput(pcm=pcm, own=pcm + 1, mask=~no, reset=no, lost=no, speaking=no)


def test_its_step_is_the_ears_step() -> None:
    ears = Ears()
    out = WithEars(Singer(), ears).step(inputs(20000))
    assert (out.p_take == 1).all()
    assert out.pcm is None
    assert [heard.words for heard in out.words] == [("1",)]


def test_spec_is_the_ears_with_the_speakers_voice_and_memory() -> None:
    spec = WithEars(Singer(), Ears()).spec
    assert (spec.name, spec.step_ms, spec.emits_pcm, spec.emits_scores) == ("singer+energy", 20, True, True)
    assert spec.bytes_per_row == 2 * Ears().spec.bytes_per_row


def test_model_with_whole_steps_speaks_in_halves() -> None:
    speaker = WithEars(Singer(), Ears()).speaker
    long = inputs(0)
    long.pcm = np.zeros((ROWS, 640), np.int16)
    assert not speaker.is_done()
    speaker.begin(long)
    assert speaker.is_done()
    assert speaker.finish().pcm is not None
    assert not speaker.is_done()


def test_ears_of_another_rate_are_refused() -> None:
    ears = Ears()
    ears.spec = replace(ears.spec, rate_in_hz=16000)
    with pytest.raises(ModelError, match="ears energy hear 16000 Hz, singer 8000 Hz"):
        WithEars(Singer(), ears)


def test_both_halves_of_a_row_move() -> None:
    here, there = WithEars(Singer(), Ears()), WithEars(Singer(), Ears())
    for _ in range(3):
        here.step(inputs(3000))
        here.speaker.step(StepInput(**{**vars_of(inputs(0)), "pcm": np.zeros((ROWS, 640), np.int16)}))
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
