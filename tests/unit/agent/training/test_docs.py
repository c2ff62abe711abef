"""The commands that the page names are commands that can be given."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from agent.training import make

DOCS = Path(__file__).parents[4] / "docs"
PAGE = DOCS / "explanation/training.md"
CARDS = (DOCS / "reference/model_card_small.md", DOCS / "reference/model_card_small_words.md")


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


def commands(pages: tuple[Path, ...], module: str) -> Iterator[list[str]]:
    for page in pages:
        found = re.findall(rf"^python -m agent\.training\.{module} (.+)$", page.read_text("utf-8"), re.MULTILINE)
        yield from (shlex.split(line, comments=True) for line in found)


@pytest.mark.parametrize("module", ["make", "train", "words_train", "words_mine"])
def test_the_commands_that_make_our_nets_again_are_understood(module: str) -> None:
    if module in ("train", "words_train"):
        pytest.importorskip("torch")
    understands = import_module(f"agent.training.{module}").arguments
    found = [understands(line) for line in commands((PAGE, *CARDS), module)]
    assert found
    assert all(isinstance(asked, argparse.Namespace) for asked in found)


def test_shares_on_the_card_are_shares_of_what_is_there() -> None:
    pytest.importorskip("torch")
    from agent.training.words_mix import SHARES

    for line in commands(CARDS, "words_train"):
        if "--shares" in line:
            shares = json.loads(line[line.index("--shares") + 1])
            assert set(shares) <= {*SHARES}
            assert abs(sum(shares.values()) - 1) < 1e-9
