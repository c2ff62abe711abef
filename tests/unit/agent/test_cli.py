"""The command line: wrong arguments are refused before anything starts, results alone go to stdout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import main


@pytest.mark.parametrize(
    "arguments",
    [
        ["load", "--calls", "0"],
        ["load", "--seconds", "-1"],
        ["load", "--rate", "0"],
        ["bench", "media", "--calls", "-5"],
        ["bench", "duplex", "--events", "0"],
        [],
    ],
)
def test_impossible_arguments_are_refused_at_once(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serve", "--set", "sip.prot=1"], "sip.prot: unknown key"),
        (["serve", "--set", "sip.port"], "must be KEY=VALUE"),
        (["serve", "--set", "sip.port=70000"], "sip.port"),
        (["serve", "--config", "/nowhere/x.toml"], "/nowhere/x.toml: cannot be read"),
        (["serve", "--set", "agent.dialogue=/nowhere/x.yaml"], "/nowhere/x.yaml"),
    ],
)
def test_start_stops_with_the_key_and_the_reason(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) in (1, 2)
    printed = capsys.readouterr()
    assert told in printed.err
    assert not printed.out


def test_configuration_as_json_is_one_object_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--json", "--set", "webhooks.secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["sip.port"]["value"] == 5060
    assert "MfKQ9r8" not in out


def test_reader_who_has_seen_enough_meets_no_traceback(tmp_path: Path) -> None:
    code = "from agent.cli import main; raise SystemExit(main(['config', 'show', '--json']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
