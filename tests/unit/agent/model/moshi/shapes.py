"""Small shapes of the same layout as the published models. No torch."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from agent.model.moshi.config import MoshiConfig, read_config
from agent.model.moshi.published import MIMI, MOSHI_7B

TEXT_CARD = 48
CARD = 24
LM: dict[str, Any] = MOSHI_7B | {
    "dim": 64,
    "text_card": TEXT_CARD,
    "card": CARD,
    "num_heads": 4,
    "num_layers": 2,
    "context": 12,
    "depformer_dim": 32,
    "depformer_dim_feedforward": 132,
    "depformer_num_heads": 2,
    "depformer_num_layers": 2,
}


def mimi_shape() -> dict[str, Any]:
    shape = copy.deepcopy(MIMI)
    shape["seanet"] |= {"dimension": 32, "n_filters": 4}
    shape["quantizer"] |= {
        "dimension": 16,
        "n_q": 10,
        "bins": CARD,
        "input_dimension": 32,
        "output_dimension": 32,
    }
    shape["transformer"] |= {
        "d_model": 32,
        "num_heads": 4,
        "num_layers": 2,
        "context": 7,
        "dim_feedforward": 48,
        "input_dimension": 32,
        "output_dimensions": [32],
    }
    return shape


def write_shapes(folder: Path, **keys: Any) -> None:
    """``config.json`` and the codec's; ``keys`` on top (``None`` takes one away)."""
    import json

    raw = LM | {"mimi_config_name": "mimi.json"} | keys
    raw = {key: value for key, value in raw.items() if value is not None or key in LM}
    (folder / "config.json").write_text(json.dumps(raw), encoding="utf-8")
    (folder / "mimi.json").write_text(json.dumps(mimi_shape()), encoding="utf-8")


def tiny_config(folder: Path, **keys: Any) -> MoshiConfig:
    write_shapes(folder, **keys)
    return read_config(folder)
