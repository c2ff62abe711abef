"""What seeds draw, as a file: ``python -m tests.unit.agent.training.golden`` writes it anew after a wanted change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from agent.training.channel.line import draw_condition
from agent.training.conversation.overlaps import plan
from agent.training.conversation.pauses import reaction, silence
from agent.training.text.answer import State
from agent.training.text.source import TextSource

FILE = Path(__file__).with_name("golden.json")


def drawn() -> dict[str, Any]:
    """Text, lines, overlaps and silences of fixed seeds: everything random that no synthesiser is part of."""
    source = TextSource()
    return {
        "answers": {
            state.value: [source.answer(state, np.random.default_rng(k)).text for k in (1, 2)] for state in State
        },
        "takes": [source.takes(np.random.default_rng(k)).text for k in (1, 2, 3)],
        "statement": source.statement(np.random.default_rng(1)),
        "lines": [draw_condition(np.random.default_rng(k)).to_json() for k in (1, 2, 3)],
        "overlaps": [[(e.kind.name, e.offset) for e in plan(64_000, np.random.default_rng(k))] for k in (1, 2, 3)],
        "silences": [silence(np.random.default_rng(k)) for k in (1, 2, 3)],
        "reactions": [reaction(np.random.default_rng(k)) for k in (1, 2, 3)],
    }


def text() -> str:
    return json.dumps(drawn(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
