"""The gates in C: compiled once, kept, made again where damaged, told in one line where they cannot be; and right."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.training.errors import TrainingError
from agent.training.net import gates, memory
from agent.training.net.gates import NoGates, compiled, library
from agent.training.net.products import Asked, Products, chosen
from tests.unit.agent.training.kit import need_gates

needs_compiler = pytest.mark.skipif(not any(map(shutil.which, gates.COMPILERS)), reason="no C compiler")


@pytest.fixture
def fresh() -> Iterator[None]:
    """No library is loaded yet, nor stays behind."""
    library.cache_clear()
    yield
    library.cache_clear()


def sixteen(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """bf16, cut and not rounded: exact for what has few bits."""
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def wide(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (values.astype(np.uint32) << 16).view(np.float32)


@pytest.mark.parametrize("size", [16, 21])
def test_a_step_is_a_gru_s(size: int) -> None:
    need_gates()
    rows, rng = 3, np.random.default_rng(1)
    gx, gh = (wide(sixteen(rng.standard_normal((rows, 3 * size)).astype(np.float32) * 3)) for _ in range(2))
    h = rng.standard_normal((rows, size)).astype(np.float32)
    kept = [np.zeros((rows, size), np.uint16) for _ in range(4)]
    after, after16 = np.zeros((rows + 1, size), np.float32), np.zeros((rows + 1, size), np.uint16)
    given = [sixteen(gx), sixteen(gh), h, *kept, after, after16]
    library().gates_forward(*(array.ctypes.data for array in given), rows, size)
    r, z = (1 / (1 + np.exp(-(gx + gh)[:, at * size : (at + 1) * size])) for at in (0, 1))
    n = np.tanh(gx[:, 2 * size :] + r * gh[:, 2 * size :])
    assert np.abs(after[:rows] - (n + z * (h - n))).max() < 1e-6
    assert np.abs(wide(after16[:rows]) / after[:rows] - 1).max() < 2**-8
    for found, wanted in zip(kept, (r, z, n, gh[:, 2 * size :]), strict=True):
        assert np.abs(wide(found) - wanted).max() < 2**-8 * max(1.0, np.abs(wanted).max())
    assert not after[rows].any(), "nothing is written behind the rows"


@needs_compiler
def test_what_is_compiled_is_kept_and_made_again_where_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compiled(tmp_path / "cache")
    made, first = path.read_bytes(), path.stat().st_mtime_ns
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with monkeypatch.context() as without:
        without.setattr(gates.shutil, "which", lambda name: None)
        assert compiled(tmp_path / "cache") == path, "no compiler is looked for"
    assert path.stat().st_mtime_ns == first
    for damaged in (made[: len(made) // 2], made[:-40] + b"?" + made[-39:]):
        path.write_bytes(damaged)
        assert compiled(tmp_path / "cache") == path
        assert gates._is_whole(path)


@needs_compiler
def test_other_flags_are_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = compiled(tmp_path)
    monkeypatch.setattr(gates, "FLAGS", (*gates.FLAGS, "-g"))
    assert compiled(tmp_path) != one


def test_the_cache_is_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert gates.cache_folder() == tmp_path / "crosstalk"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert gates.cache_folder() == Path.home() / ".cache" / "crosstalk"


def test_a_machine_without_a_compiler_says_so_in_one_line_and_trains_as_torch_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(gates, "instructions", lambda: gates.NEEDED)
    monkeypatch.setattr(gates.shutil, "which", lambda name: None)
    choice = chosen(Asked.AUTO, "cpu")
    assert choice.products is Products.FLOAT32
    assert str(choice) == "float32 products (the faster bf16: no C compiler (cc, gcc, g++, clang))"
    with pytest.raises(TrainingError, match=r"^bf16 products: no C compiler"):
        chosen(Asked.BF16, "cpu")
    with pytest.raises(TrainingError, match=r"this run was begun with them\): no C compiler"):
        chosen(Asked.AUTO, "cpu", Products.BF16)


@needs_compiler
def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "FLAGS", (*gates.FLAGS, "--no-such-flag"))
    with pytest.raises(NoGates, match="no-such-flag"):
        compiled(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NoGates, match="file"):
        compiled(tmp_path / "file" / "cache")


def test_a_cache_that_may_hold_no_programs_is_told(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    def refused(name: str) -> None:
        raise OSError("failed to map segment")

    monkeypatch.setattr(gates, "instructions", lambda: gates.NEEDED)
    monkeypatch.setattr(gates, "compiled", lambda folder: folder / "gates.so")
    monkeypatch.setattr(gates.ctypes, "CDLL", refused)
    assert "gates.so cannot be loaded: failed to map segment" in chosen(Asked.AUTO, "cpu").lacking


def test_a_user_without_a_home_is_asked_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(gates.Path, "home", nowhere)
    with pytest.raises(NoGates, match="set XDG_CACHE_HOME"):
        gates.cache_folder()


def test_a_cpu_without_the_instructions_multiplies_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags\t\t: fma avx512f avx512bw\n")
    monkeypatch.setattr(gates, "CPU_INFO", tmp_path / "cpuinfo")
    assert chosen(Asked.AUTO, "cpu").lacking == "the CPU has no bf16 products (avx512_bf16, avx512vl)"
    monkeypatch.setattr(gates, "CPU_INFO", tmp_path / "none")
    assert gates.instructions() == frozenset()


def test_products_are_chosen_by_device_wish_and_what_was_before() -> None:
    assert chosen(Asked.FLOAT32, "cpu", Products.BF16).products is Products.FLOAT32
    assert chosen(Asked.AUTO, "cpu", Products.FLOAT32).products is Products.FLOAT32
    assert chosen(Asked.AUTO, "cuda").lacking == "they are for the CPU, not for cuda"
    with pytest.raises(TrainingError, match="not for cuda"):
        chosen(Asked.BF16, "cuda:0")
    need_gates()
    assert chosen(Asked.AUTO, "cpu").products is Products.BF16
    assert str(chosen(Asked.AUTO, "cpu")) == "bf16 products"


def test_the_allocator_s_settings_are_refused_by_no_glibc() -> None:
    import subprocess
    import sys

    code = f"from {memory.__name__} import keep_pages; print(keep_pages())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    import ctypes

    assert said.strip() == str(hasattr(ctypes.CDLL(None), "mallopt"))
