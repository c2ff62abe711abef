"""A seed draws what it always drew: training data of an old seed can be made again."""

from __future__ import annotations

import json

from tests.unit.agent.training.golden import FILE, drawn


def test_fixed_seeds_draw_what_the_golden_file_holds() -> None:
    assert json.loads(json.dumps(drawn())) == json.loads(FILE.read_text(encoding="utf-8"))
