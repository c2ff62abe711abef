"""Marks of tests that the Makefile relies on."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_tests_of_time_lie_in_the_folder_where_make_looks_for_them() -> None:
    marked = {
        path.relative_to(TESTS).parts[0]
        for path in TESTS.rglob("test_*.py")
        if re.search(r"mark\.timed\b", path.read_text(encoding="utf-8"))
    }
    assert marked == {"peers"}
    assert re.search(r"and timed' tests/peers ", (TESTS.parent / "Makefile").read_text(encoding="utf-8"))
