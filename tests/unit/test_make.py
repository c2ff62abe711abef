"""What `make` would run: the two commands must set up whatever they need."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("model", "extra"),
    [("", False), ("parts", False), ("kyutai/moshiko-pytorch-bf16", True), ("./checkpoint", True)],
)
def test_a_model_that_speaks_by_itself_brings_what_it_needs(model: str, extra: bool, tmp_path: Path) -> None:
    asked = ["make", "-n", "serve", f"MODEL={model}", f"VENV={tmp_path}/venv"]
    told = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert ("'.[gpu]'" in told) is extra
    assert (f"--model {model}" in told) is bool(model)
