"""``crosstalk bench engine``: one command, one JSON object, on a tiny model; arguments are refused at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli import main
from agent.model.moshi import extra


@pytest.mark.parametrize("arguments", [["--rows", "0"], ["--rows", "1,x"], ["--rows", "5000"], ["--window", "0"]])
def test_impossible_arguments_are_refused_at_once(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "engine", *arguments])
    assert ended.value.code == 2
    assert not capsys.readouterr().out


def test_missing_extra_is_named_with_the_command_that_helps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == "torch" else name)
    assert main(["bench", "engine"]) == 1
    assert "torch missing: pip install 'crosstalk-voice[gpu]'" in capsys.readouterr().err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pytest.importorskip("torch", reason="the extra gpu is not installed")
    from tests.unit.agent.model.moshi.tiny import write_checkpoint

    write_checkpoint(tmp_path)
    return tmp_path


def test_result_is_one_object_with_every_row_count(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", str(folder), "--rows", "1,3", "--window", "12", "--ticks", "20", "--device", "cpu"]
    assert main(["bench", "engine", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["rows"] for entry in found["rows"]] == [1, 3]
    assert found["window"] == 12
    for entry in found["rows"]:
        assert 0 < entry["tick_p50_ms"] <= entry["tick_p99_ms"] <= entry["tick_max_ms"]
        assert entry["join_tick_max_ms"] > 0
        assert entry["moved_gb"] >= 0
    assert "skipped" in found["reference"]


def test_builtin_model_without_weights_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "engine", "--model", "moshi-7b", "--device", "cpu"]) == 1
    assert "--random-weights" in capsys.readouterr().err
    assert main(["bench", "engine", "--model", str(folder / "nowhere"), "--device", "cpu"]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_table_has_a_line_for_each_row_count(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--model",
        str(folder),
        "--random-weights",
        "--rows",
        "2",
        "--ticks",
        "10",
        "--device",
        "cpu",
        "--fp8-kv",
    ]
    assert main(["bench", "engine", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "KV fp8" in lines[0]
    assert lines[2].split()[0] == "2"
