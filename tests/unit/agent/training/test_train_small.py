"""``crosstalk train small`` and ``eval small``: the how-to as it stands, and a clear word without torch."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agent import cli
from agent.commands import training

PAGE = Path(__file__).parents[4] / "docs" / "howto" / "train_small.md"


def commands_of(heading: str) -> list[list[str]]:
    """Arguments of the ``crosstalk`` commands under a heading."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}")[1].split("\n## ")[0]
    return [line.split() for line in re.findall(r"^crosstalk (.+)$", section, re.MULTILINE)]


@pytest.mark.timeout(300)
def test_the_first_commands_make_weights_that_serve_and_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from agent.model.small.runtime import FloorRuntime
    from agent.model.small.weights import rules_of

    monkeypatch.chdir(tmp_path)
    train, judge = commands_of("Try it in two minutes")
    assert cli.main([*train, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    card = json.loads((tmp_path / "var/try/card.json").read_text("utf-8"))
    assert card == figures
    assert FloorRuntime(tmp_path / "var/try/floor.onnx", 2).bytes_per_row < 64_000
    sums = (tmp_path / "var/try/SHA256SUMS").read_text("utf-8")
    assert cli.main([*judge, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == {name: figures[name] for name in again}
    assert rules_of(tmp_path / "var/try/floor.onnx")
    assert cli.main(train) == 0, "all is there: nothing is made again"
    assert (tmp_path / "var/try/SHA256SUMS").read_text("utf-8") == sums
    wrong = [*train, "--domain", "none.yaml", "--out", "var/other"]
    assert cli.main(wrong) == 1
    assert "none.yaml" in capsys.readouterr().err


def test_without_torch_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "find_spec", lambda name: None)
    for command in (["train", "small"], ["eval", "small"]):
        assert cli.main(command) == 1
        said = capsys.readouterr().err
        assert f"crosstalk {command[0]} needs torch and onnx: pip install 'crosstalk-voice[train]'" in said
