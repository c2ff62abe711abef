"""The commands that the page names are commands that can be given."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from agent.training import make

PAGE = Path(__file__).parents[4] / "docs/explanation/training.md"


def test_the_page_s_commands_to_make_data_are_understood() -> None:
    found = re.findall(r"^python -m agent\.training\.make (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) >= 2
    for line in found:
        assert make.arguments(shlex.split(line)).hours > 0


def test_each_module_that_the_page_names_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    root = PAGE.parents[2]
    for path in re.findall(r"`(agent/[a-z_/]+\.py)`", text):
        assert (root / path).is_file(), path
    for module in re.findall(r"python -m ([a-z_.]+)", text):
        assert (root / f"{module.replace('.', '/')}.py").is_file(), module
