"""The small ears with a net of torch's making: rows are alone, masked rows rest, reset rows forget, snapshots move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from agent.errors import ModelError  # noqa: E402
from agent.expectation import Expect, ExpectKind  # noqa: E402
from agent.model.parts.recogniser import NoRecogniser  # noqa: E402
from agent.model.parts.silero import open_session  # noqa: E402
from agent.model.protocol import StepInput, StepOutput  # noqa: E402
from agent.model.small.ears import SmallEars, build  # noqa: E402
from agent.model.small.opinion import NetOpinion  # noqa: E402
from agent.model.small.runtime import FloorRuntime  # noqa: E402
from agent.training.export import onnx_of  # noqa: E402
from agent.training.net.floor import FloorNet, FloorSizes  # noqa: E402

SESSION = open_session()
SCORES = ("p_speech", "p_end", "p_take", "p_backchannel")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    found = tmp_path_factory.mktemp("ears") / "floor.onnx"
    onnx.save(onnx_of(FloorNet(FloorSizes(front=8, frame=12, own=6, expect=4, hidden=16)).eval()), str(found))
    return found


def ears_of(path: Path, rows: int = 3) -> SmallEars:
    return SmallEars(rows, NoRecogniser(), FloorRuntime(path, rows), SESSION)


def sound(step: int, rows: int) -> StepInput:
    rng = np.random.default_rng(step)
    pcm = rng.integers(-3000, 3000, (rows, 160)).astype(np.int16)
    flags = np.zeros(rows, np.bool_)
    return StepInput(pcm=pcm, own=pcm[:, ::-1].copy(), mask=~flags, reset=flags.copy(), lost=flags, speaking=flags)


def same(one: StepOutput, row: int, other: StepOutput, row_of_other: int) -> None:
    for name in SCORES:
        assert abs(getattr(one, name)[row] - getattr(other, name)[row_of_other]) < 1e-5


def run(ears: SmallEars, first: int, last: int, **changes: object) -> StepOutput:
    for step in range(first, last):
        inputs = sound(step, 3)
        for name, value in changes.items():
            setattr(inputs, name, value)
        out = ears.step(inputs)
    return out


def test_a_masked_row_rests_and_a_reset_row_remembers_nothing(path: Path) -> None:
    plain, other = ears_of(path), ears_of(path)
    run(plain, 0, 4)
    run(other, 0, 4)
    out = run(other, 50, 53, mask=np.array([True, False, True]))
    assert out.valid.tolist() == [True, False, True]
    same(run(other, 4, 8), 1, run(plain, 4, 8), 1)
    new, fresh = ears_of(path), sound(8, 3)
    fresh.reset[:] = True
    same(other.step(fresh), 2, new.step(sound(8, 3)), 2)


def test_an_expectation_changes_what_the_net_says_and_moves_with_the_row(path: Path) -> None:
    told, untold = (NetOpinion(FloorRuntime(path, 3), 3) for _ in range(2))
    told.expect(1, Expect(kind=ExpectKind.DIGITS, digits=8))
    rows = np.arange(3)
    for one in (told, untold):
        for step in range(8):
            inputs = sound(step, 3)
            one.hear(inputs.pcm, inputs.own, rows)
    assert abs(told.save(1)["net_over"] - untold.save(1)["net_over"]) > 1e-6
    assert told.save(0)["net_over"] == untold.save(0)["net_over"]
    moved = NetOpinion(FloorRuntime(path, 3), 3)
    moved.load(2, told.save(1))
    for one, row in ((told, 1), (moved, 2)):
        inputs = sound(9, 3)
        inputs.pcm[row], inputs.own[row] = inputs.pcm[0], inputs.own[0]
        for _ in range(2):
            one.hear(inputs.pcm, inputs.own, rows)
    assert abs(told.save(1)["net_over"] - moved.save(2)["net_over"]) < 1e-6


def test_a_net_that_can_be_loaded_serves(path: Path) -> None:
    ears = build(8, recogniser=NoRecogniser, weights=str(path), session=SESSION)
    assert (ears.spec.name, ears.fallback) == ("small", "")
    ears.warmup()
    assert ears.self_test() == 8
    with pytest.raises(ModelError, match="begins with"):
        ears.restore(0, b"x")
