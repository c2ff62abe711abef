"""Options of ``crosstalk bench task`` and ``bench echo``: what is wrong is named before anything starts."""

from __future__ import annotations

import pytest

from agent.cli import main


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["task", "--set", "foo"], "--set foo"),
        (["task", "--set", "engine.foo=1"], "engine.foo"),
        (["echo", "--set", "engine.rows=x"], "engine.rows"),
    ],
)
def test_a_wrong_setting_is_named(arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    assert named in capsys.readouterr().err


def test_voices_that_are_not_there_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "task", "--calls", "1", "--voice", "nobody"]) == 1
    assert "nobody" in capsys.readouterr().err
