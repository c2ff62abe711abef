from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agent.errors import ConfigError, ModelError
from agent.model.fakes import Echo, EnergyEars, Marker, Silent, Talker
from agent.model.protocol import DuplexModel, Persona, StepInput, StepOutput
from agent.model.registry import build_model, model_names

FAKES = [Echo, Silent, Talker, Marker, EnergyEars]
Factory = Callable[[int], DuplexModel]


def inputs(rows: int, *, seed: int = 0, mask: list[int] | None = None, reset: list[int] | None = None) -> StepInput:
    pcm = np.random.default_rng(seed).integers(-20000, 20000, (rows, 160), np.int16)
    made = StepInput(
        pcm=pcm,
        own=np.zeros((rows, 160), np.int16),
        mask=np.zeros(rows, np.bool_),
        reset=np.zeros(rows, np.bool_),
        lost=np.zeros(rows, np.bool_),
        speaking=np.zeros(rows, np.bool_),
    )
    made.mask[list(range(rows)) if mask is None else mask] = True
    made.reset[reset or []] = True
    return made


def row_of(output: StepOutput, row: int) -> list[object]:
    pcm = None if output.pcm is None else output.pcm[row].tolist()
    return [output.p_speech[row], output.p_end[row], output.p_take[row], pcm]


@pytest.mark.parametrize("make", FAKES)
def test_one_row_alone_equals_the_same_row_in_a_batch(make: Factory) -> None:
    one, many = make(1), make(8)
    for step in range(30):
        batch = inputs(8, seed=step)
        alone = inputs(1)
        alone.pcm[0] = batch.pcm[5]
        assert row_of(one.step(alone), 0) == row_of(many.step(batch), 5)


@pytest.mark.parametrize("make", FAKES)
def test_a_masked_row_does_not_move_and_is_not_valid(make: Factory) -> None:
    model = make(3)
    model.step(inputs(3))
    before = model.snapshot(1)
    output = model.step(inputs(3, mask=[0, 2]))
    assert output.valid.tolist() == [True, False, True]
    assert model.snapshot(1) == before
    assert row_of(output, 1)[:3] == [0, 0, 0]


@pytest.mark.parametrize("make", FAKES)
def test_a_reset_row_remembers_nothing_and_the_others_do(make: Factory) -> None:
    used, fresh = make(2), make(2)
    for step in range(7):
        used.step(inputs(2, seed=step))
    other = used.snapshot(1)
    assert row_of(used.step(inputs(2, seed=9, mask=[0], reset=[0])), 0) == row_of(
        fresh.step(inputs(2, seed=9, mask=[0])), 0
    )
    assert used.snapshot(0) == fresh.snapshot(0)
    assert used.snapshot(1) == other


@pytest.mark.parametrize("make", FAKES)
def test_a_snapshot_goes_on_in_another_row(make: Factory) -> None:
    a, b = make(1), make(4)
    for step in range(5):
        a.step(inputs(1, seed=step))
    b.restore(3, a.snapshot(0))
    batch, alone = inputs(4, seed=99), inputs(1)
    alone.pcm[0] = batch.pcm[3]
    assert row_of(a.step(alone), 0) == row_of(b.step(batch), 3)


def test_an_unknown_snapshot_is_refused() -> None:
    with pytest.raises(ModelError, match="snapshot"):
        Echo(1).restore(0, b"nonsense")
    blob = bytearray(Echo(1).snapshot(0))
    blob[4] = 9
    with pytest.raises(ModelError, match="version"):
        Echo(1).restore(0, bytes(blob))


def test_a_step_of_a_wrong_length_is_refused() -> None:
    batch = inputs(1)
    batch.pcm = np.zeros((1, 80), np.int16)
    with pytest.raises(ModelError, match="80 samples"):
        Echo(1).step(batch)


def test_a_row_is_admitted_once_until_it_is_released() -> None:
    model = Silent(1)
    model.admit(0, Persona())
    with pytest.raises(ModelError, match="row 0"):
        model.admit(0, Persona())
    model.release(0)
    model.admit(0, Persona())


@pytest.mark.parametrize("name", [n for n in model_names() if n not in ("small", "parts", "vad")])
def test_every_fake_is_built_by_its_name(name: str) -> None:
    model = build_model(name, 3)
    assert (model.spec.name, model.self_test()) == (name, 3)


def test_an_unknown_model_names_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match="known: small, parts, vad, echo"):
        build_model("moshi", 1)
