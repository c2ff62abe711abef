"""What a worker gets for a folder: ears beside the model, and as many rows as there is memory for."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra gpu is not installed")

from agent.errors import ModelError  # noqa: E402
from agent.model.moshi import model as module  # noqa: E402
from agent.model.moshi.serve import open_served  # noqa: E402
from agent.model.registry import build_model  # noqa: E402
from tests.unit.agent.model.moshi.tiny import write_checkpoint  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path)
    return tmp_path


def test_folder_is_served_with_ears_beside_it(folder: Path) -> None:
    model = open_served(folder, 3, device="cpu", window_s=0.5)
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
    assert 1 < build_model(str(folder), 4096, device="cpu").spec.rows < 4096
    memory(2**27)
    with pytest.raises(ModelError, match=r"1 rows of 12 frames need 0\.3 GiB, 0\.1 are free: 0 rows"):
        build_model(str(folder), 4, device="cpu")
