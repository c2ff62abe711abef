"""docs/howto/gpu.md: its pull is run against a hub of this machine, what it shows of files is read by who reads them.

Serving and calling are run by tests/peers/test_service_speech_model.py, the bench by test_engine_bench.py.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from agent.brain.triggers import parse_triggers
from agent.cli import _parser, main
from agent.config_load import load_config
from agent.model.moshi.config import check_files
from agent.native import settled_native
from agent.pull import command
from agent.pull.catalogue import CATALOGUE, Kind, PinnedFile
from agent.pull.download import Downloader
from tests.unit.agent.model.moshi.shapes import write_shapes
from tests.unit.agent.pull.pull_server import Files, serving

PAGE = (Path(__file__).parents[4] / "docs/howto/gpu.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
NAME = "kyutai/moshiko-pytorch-bf16"


def block(kind: str) -> str:
    found = re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_pull_of_the_page_fills_a_folder_that_serve_finds_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = [line for line in COMMANDS if " pull " in line]
    files = Files(data={file.name: file.name.encode() for file in CATALOGUE[NAME].files})
    with serving(files) as base:
        pins = tuple(
            PinnedFile(name=name, url=f"{base}/{name}", size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in files.data.items()
        )
        monkeypatch.setitem(CATALOGUE, NAME, replace(CATALOGUE[NAME], files=pins))
        monkeypatch.setattr(command, "Downloader", lambda **_: Downloader(timeout_s=5.0, pause=lambda _s: None))
        assert main([*shlex.split(line)[1:], "--accept-licence"]) == 0
    told = capsys.readouterr()
    assert "CC-BY-4.0 (Kyutai)" in told.err
    assert f"crosstalk serve --model {NAME}" in told.out
    settled = settled_native(load_config(None, {}, {"engine.model": NAME}).config)
    folder = Path(settled.engine.model)
    assert {path.name for path in folder.iterdir()} > set(files.data)
    write_shapes(folder)
    check_files(folder)


def test_names_of_the_page_are_those_of_the_catalogue() -> None:
    for model in CATALOGUE.values():
        if model.kind is Kind.MOSHI:
            assert model.name in PAGE


def test_every_crosstalk_command_of_the_page_parses() -> None:
    lines = [line for line in COMMANDS if "bin/crosstalk " in line]
    assert len(lines) == 5
    for line in lines:
        _parser().parse_args(shlex.split(line)[1:])


def test_configuration_of_the_page_is_taken(tmp_path: Path) -> None:
    (tmp_path / "crosstalk.toml").write_text(block("toml"))
    config = load_config(tmp_path / "crosstalk.toml", {}, {"webhooks.secret": "whsec_" + "QUFB" * 8}).config
    wanted = tomllib.loads(block("toml"))["agent"]["native"]
    assert {key: getattr(config.agent.native, key) for key in wanted} == wanted


def test_gateway_of_the_page_takes_its_settings() -> None:
    (line,) = [line for line in COMMANDS if "engine.remote" in line]
    words = shlex.split(line)
    flags = dict(word.split("=", 1) for before, word in pairwise(words) if before == "--set")
    config = load_config(None, {}, flags).config
    assert config.engine.remote == ("10.0.0.7:7300",)
    assert settled_native(config) is config


def test_tools_of_the_page_are_asked_for_by_the_words_that_it_shows() -> None:
    (trigger,) = parse_triggers(block("yaml"), "page")
    assert trigger.arguments("Let me look up your order A7.") == {"order": "A7"}
    assert trigger.answer({"order": "A7", "state": "on its way"}, ok=True) == "Your order A7 is on its way."


@pytest.mark.parametrize(
    ("told", "file"),
    [
        ("PyTorch sees no CUDA device", "agent/model/moshi/model.py"),
        ("rows of {longest} frames fit", "agent/model/moshi/planner.py"),
        ("the publisher wants an account for it", "agent/pull/download.py"),
        ("bytes are kept for the next try", "agent/pull/download.py"),
        ("speaker_p99_ms", "agent/front.py"),
    ],
)
def test_messages_of_the_page_are_said_somewhere(told: str, file: str) -> None:
    assert told in (Path(__file__).parents[4] / file).read_text(encoding="utf-8")
    assert told.replace("{longest}", "3000") in PAGE
