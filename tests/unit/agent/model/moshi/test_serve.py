"""What a worker gets for a folder: ears beside the model, and as many rows as there is memory for."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra gpu is not installed")

from agent.errors import ModelError  # noqa: E402
from agent.model.baseline import HasBaseline  # noqa: E402
from agent.model.fakes import EnergyEars  # noqa: E402
from agent.model.moshi import model as module  # noqa: E402
from agent.model.moshi.serve import open_served  # noqa: E402
from agent.model.registry import build_model  # noqa: E402
from tests.unit.agent.model.moshi.tiny import write_checkpoint  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path)
    return tmp_path


def test_folder_is_served_with_ears_beside_it(folder: Path) -> None:
    model = open_served(folder, 3, ears=EnergyEars, device="cpu", window_s=0.5)
    try:
        assert model.spec.emits_pcm
        assert model.spec.emits_scores
        assert (model.spec.rows, model.speaker.spec.step_ms) == (3, 80)
        assert model.self_test() == 3
    finally:
        model.close()


def test_rows_are_those_that_memory_holds_and_too_little_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def memory(of: int) -> None:
        monkeypatch.setattr(module, "free_bytes", lambda device: of)

    memory(2**28 + 2**26)
    assert 1 < build_model(str(folder), 4096, device="cpu", recogniser="none").spec.rows < 4096
    memory(2**27)
    with pytest.raises(ModelError, match=r"1 rows of 12 frames need 0\.3 GiB, 0\.1 are free: 0 rows"):
        build_model(str(folder), 4, device="cpu", recogniser="none")


def test_rows_of_a_shorter_window_come_beside_the_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_served(folder, 4, ears=EnergyEars, device="cpu", window_s=0.8, short_rows=3, short_window_s=0.24)
    assert model.speaker.spec.rows == 4
    assert model.speaker.spec.context_s == pytest.approx(0.24), "the least that a call remembers"
    model.close()
    monkeypatch.setattr(module, "free_bytes", lambda device: 2**28 + 2**24)
    long = open_served(folder, 4096, ears=EnergyEars, device="cpu").spec.rows
    short = open_served(folder, 4096, ears=EnergyEars, device="cpu", short_rows=long, short_window_s=0.08).spec.rows
    assert short > long


def test_floor_net_hears_beside_it(folder: Path) -> None:
    model = build_model(str(folder), 2, device="cpu", recogniser="none")
    assert model.spec.name.startswith(f"{folder.name}+")
    assert isinstance(model, HasBaseline)
    assert not model.fallback
    model.close()
