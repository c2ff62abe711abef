"""``crosstalk call`` where there is nobody to call: what it says, and where."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.simulator.command import call_command


@pytest.fixture
def closed_uri() -> Iterator[str]:
    """An address whose port is taken by a socket that the kernel refuses for: nobody listens, nobody else can bind it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.connect(("127.0.0.1", 9))  # connected elsewhere: datagrams of others are refused
        yield f"sip:agent@127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "wait.yaml"
    path.write_text("steps: [{wait: 100}]\n", encoding="utf-8")
    return path


async def test_call_that_nobody_takes_is_one_line_on_stderr_and_a_failure(
    closed_uri: str, script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await call_command(closed_uri, script, tmp_path / "out") == 1
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert line.startswith("not answered: nobody listens on UDP 127.0.0.1:")


async def test_call_that_nobody_takes_is_one_object_for_machines(
    closed_uri: str, script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await call_command(closed_uri, script, tmp_path / "out", as_json=True) == 1
    told = capsys.readouterr()
    assert told.err == ""
    found = json.loads(told.out)
    assert (found["status"], found["ended_by"]) == (0, "network")
    assert "nobody listens" in found["reason"]
