"""Marks of tests that the Makefile relies on: it collects whole folders only where marked tests lie."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def folders(name: str) -> list[str]:
    """What a variable of the Makefile lists."""
    (listed,) = re.findall(rf"^{name} := (.+)$", MAKEFILE, re.MULTILINE)
    return str(listed).split()


@pytest.mark.parametrize(
    ("marks", "variable"), [("peer|slow|timed", "PEER_FOLDERS"), ("timed", "TIMED_FOLDERS")], ids=["peers", "timed"]
)
def test_marked_tests_lie_where_make_looks_for_them(marks: str, variable: str) -> None:
    marked = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(rf"mark\.({marks})\b", path.read_text(encoding="utf-8"))
    ]
    assert marked
    found = folders(variable)
    assert not [path for path in marked if not path.startswith(tuple(f"{folder}/" for folder in found))]
