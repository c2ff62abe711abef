"""The floor net as a ``DuplexModel``: masked rows rest, reset rows remember nothing, rows are alone, snapshots move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from agent.errors import ModelError  # noqa: E402
from agent.expectation import Expect, ExpectKind  # noqa: E402
from agent.model.protocol import DuplexModel, Persona, StepInput, StepOutput  # noqa: E402
from agent.model.small.model import SmallEars  # noqa: E402
from agent.training.export import onnx_of  # noqa: E402
from agent.training.net.floor import FloorNet, FloorSizes  # noqa: E402

SCORES = ("p_speech", "p_end", "p_take", "p_backchannel")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    found = tmp_path_factory.mktemp("ears") / "floor.onnx"
    onnx.save(onnx_of(FloorNet(FloorSizes(front=8, frame=12, own=6, expect=4, hidden=16)).eval()), str(found))
    return found


def sound(step: int, rows: int) -> StepInput:
    rng = np.random.default_rng(step)
    pcm = rng.integers(-3000, 3000, (rows, 320)).astype(np.int16)
    flags = np.zeros(rows, np.bool_)
    return StepInput(pcm=pcm, own=pcm[:, ::-1].copy(), mask=~flags, reset=flags.copy(), lost=flags, speaking=flags)


def same(one: StepOutput, row: int, other: StepOutput, row_of_other: int) -> None:
    for name in SCORES:
        assert abs(getattr(one, name)[row] - getattr(other, name)[row_of_other]) < 1e-5


def run(ears: DuplexModel, first: int, last: int, **changes: object) -> StepOutput:
    for step in range(first, last):
        inputs = sound(step, 3)
        for name, value in changes.items():
            setattr(inputs, name, value)
        out = ears.step(inputs)
    return out


def test_a_masked_row_rests_and_a_reset_row_remembers_nothing(path: Path) -> None:
    plain, other = SmallEars(path, 3), SmallEars(path, 3)
    run(plain, 0, 4)
    run(other, 0, 4)
    out = run(other, 50, 52, mask=np.array([True, False, True]))
    assert out.valid.tolist() == [True, False, True]
    assert out.p_speech[1] == 0
    same(run(other, 4, 6), 1, run(plain, 4, 6), 1)
    new = SmallEars(path, 3)
    fresh = sound(6, 3)
    fresh.reset[:] = True
    same(other.step(fresh), 2, new.step(sound(6, 3)), 2)


def test_an_expectation_stays_until_the_next_and_moves_with_the_row(path: Path) -> None:
    wants = Expect(kind=ExpectKind.DIGITS, digits=8)
    told, untold = SmallEars(path, 3), SmallEars(path, 3)
    first = sound(0, 3)
    first.expects = {1: wants}
    told.step(first)
    untold.step(sound(0, 3))
    with_it, without = run(told, 1, 5), run(untold, 1, 5)
    assert abs(with_it.p_end[1] - without.p_end[1]) > 1e-6
    same(with_it, 0, without, 0)
    moved = SmallEars(path, 3)
    moved.restore(2, told.snapshot(1))
    inputs = sound(5, 3)
    expected = told.step(inputs)
    inputs.pcm[2], inputs.own[2] = inputs.pcm[1], inputs.own[1]
    same(moved.step(inputs), 2, expected, 1)


def test_it_says_how_many_rows_fit_and_what_is_wrong(path: Path) -> None:
    ears = SmallEars(path, 8)
    ears.warmup()
    assert 1 <= ears.self_test() <= 8
    assert ears.spec.bytes_per_row < 64_000
    ears.admit(0, Persona())
    with pytest.raises(ModelError, match="was not released"):
        ears.admit(0, Persona())
    ears.release(0)
    short = sound(0, 8)
    short.pcm = short.pcm[:, :160]
    with pytest.raises(ModelError, match="wants 320 samples"):
        ears.step(short)
    with pytest.raises(ModelError, match="cut short"):
        ears.restore(0, b"x")
