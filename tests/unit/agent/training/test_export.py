"""The exported net: the same numbers as torch, in batches and alone; rows rest, reset and move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from agent.errors import ModelError  # noqa: E402
from agent.model.small.expectation import SIZE  # noqa: E402
from agent.model.small.features import log_mel  # noqa: E402
from agent.model.small.runtime import FRAME, FloorRuntime  # noqa: E402
from agent.training.export import export, onnx_of  # noqa: E402
from agent.training.net.floor import HEADS, FloorNet, FloorSizes  # noqa: E402

STEPS = 9


@pytest.fixture(scope="module")
def net() -> FloorNet:
    torch.manual_seed(3)
    return FloorNet(FloorSizes(front=8, frame=12, own=6, expect=4, hidden=16)).eval()


@pytest.fixture(scope="module")
def path(net: FloorNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("onnx") / "floor.onnx"
    onnx.save(onnx_of(net), str(found))
    return found


def audio(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    caller, own = (0.1 * rng.standard_normal((rows, STEPS * FRAME)).astype(np.float32) for _ in range(2))
    return caller, own, rng.random((rows, SIZE)).astype(np.float32)


def stepped(
    runtime: FloorRuntime, rows: np.ndarray, sound: tuple[np.ndarray, ...], first: int, last: int
) -> np.ndarray:
    caller, own, expect = sound
    parts = []
    for step in range(first, last):
        at = slice(step * FRAME, (step + 1) * FRAME)
        logits = runtime.step(caller[:, at], own[:, at], expect, rows)
        parts.append(np.concatenate([logits[name] for name in HEADS], axis=1))
    return np.stack(parts, axis=1)


def test_the_exported_step_gives_torch_s_numbers(net: FloorNet, path: Path) -> None:
    sound = audio(3)
    codes = [torch.from_numpy(log_mel(pcm)) for pcm in sound[:2]]
    with torch.inference_mode():
        whole, _ = net(*codes, torch.from_numpy(sound[2])[:, None].expand(-1, STEPS, -1), net.start(3))
    expected = torch.cat([whole[name] for name in HEADS], 2).numpy()
    found = stepped(FloorRuntime(path, 3), np.arange(3), sound, 0, STEPS)
    assert np.abs(found - expected).max() < 1e-4


def test_eight_bits_say_nearly_the_same(net: FloorNet, tmp_path: Path) -> None:
    sizes = {"front": 8, "frame": 12, "own": 6, "expect": 4, "hidden": 16}
    plan = {"tower": "floor", "sizes": sizes}
    torch.save({"plan": plan, "net": net.state_dict(), "step": 0}, tmp_path / "checkpoint.pt")
    export(tmp_path / "checkpoint.pt", tmp_path / "floor.onnx", int8=True)
    onnx.save(onnx_of(net), str(tmp_path / "float.onnx"))
    sound = audio(3)
    small, whole = (
        stepped(FloorRuntime(tmp_path / name, 3), np.arange(3), sound, 0, STEPS)
        for name in ("floor.onnx", "float.onnx")
    )
    assert 0 < np.abs(small - whole).max() < 0.05
    assert not (tmp_path / "floor.float.onnx").exists()


def test_rows_are_alone_rest_reset_and_move(path: Path) -> None:
    sound = audio(2)
    together = FloorRuntime(path, 2)
    expected = stepped(together, np.arange(2), sound, 0, STEPS)
    one = tuple(array[1:] for array in sound)
    other = FloorRuntime(path, 4)
    begun = stepped(other, np.array([3]), one, 0, 4)
    stepped(other, np.array([0]), tuple(array[:1] for array in sound), 0, 2)  # row 3 rests
    blob = other.snapshot(3)
    assert len(blob) == other.bytes_per_row + 1 < 64_000
    moved = FloorRuntime(path, 2)
    moved.restore(0, blob)
    rest = stepped(moved, np.array([0]), one, 4, STEPS)
    assert np.abs(np.concatenate((begun, rest), 1) - expected[1:]).max() < 1e-5
    moved.reset(np.array([0]))
    assert np.abs(stepped(moved, np.array([0]), one, 0, 4) - begun).max() < 1e-5


def test_what_is_no_net_of_ours_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be loaded"):
        FloorRuntime(tmp_path / "x.onnx", 1)
    bare = onnx.load(str(path))
    del bare.metadata_props[:]
    onnx.save(bare, str(tmp_path / "bare.onnx"))
    with pytest.raises(ModelError, match="not a floor net"):
        FloorRuntime(tmp_path / "bare.onnx", 1)
    with pytest.raises(ModelError, match="another version"):
        FloorRuntime(path, 1).restore(0, b"\x07abc")
