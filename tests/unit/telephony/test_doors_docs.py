"""docs/reference/doors.md: every door is there, and every rule that it names is one that the code gives."""

from __future__ import annotations

import re
from pathlib import Path

from telephony.stream_process import DOORS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "doors.md").read_text(encoding="utf-8")
CODE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "telephony").rglob("*.py"))
METRICS = (ROOT / "agent" / "metrics.py").read_text(encoding="utf-8")
ERRORS = "malformed too-slow no-codec no-capacity offer-pending session_not_started session_already_started unsupported_format"


def test_every_door_has_its_row() -> None:
    first_table = PAGE.partition("## Where")[0]
    for door in ("sip", *DOORS):
        assert f"`{door}`" in first_table


def test_every_rule_that_is_named_is_one_of_the_code() -> None:
    bad_input = PAGE.partition("## Bad input")[2].partition("## The same")[0]
    rules = set(re.findall(r"`((?:stream|pcm|token|too)-[a-z-]+)`", bad_input)) | set(ERRORS.split())
    assert len(rules) > 20
    for rule in rules:
        assert f"`{rule}`" in bad_input
        assert f'"{rule}"' in CODE, rule


def test_every_metric_that_is_named_is_one() -> None:
    names = re.findall(r"`crosstalk_([a-z_]+)`", PAGE)
    assert len(names) >= 6
    assert not [name for name in names if f'"{name}"' not in METRICS]
