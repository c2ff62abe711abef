"""Tiny checkpoints with random weights, written as the published ones are.

``python -m tests.unit.agent.model.moshi.tiny FOLDER`` writes one: for a service without a card.
"""

from __future__ import annotations

import io
import sys
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from safetensors.torch import save_file

from agent.model.moshi.checkpoint import codebooks_of, random_tensors
from agent.model.moshi.config import MIMI_FILE, MODEL_FILE, TEXT_FILE, LMConfig, MoshiConfig
from agent.model.moshi.layout import lm_tensors, mimi_tensors
from tests.unit.agent.model.moshi.shapes import TEXT_CARD, tiny_config

torch.set_num_threads(1)  # tiny shapes gain nothing from more

Weights = dict[str, torch.Tensor]


def lm_weights(config: LMConfig, *, seed: int = 0) -> Weights:
    return random_tensors(lm_tensors(config), dtype=torch.float32, device="cpu", seed=seed)


def mimi_weights(config: MoshiConfig, *, seed: int = 1) -> Weights:
    wanted = mimi_tensors(config.mimi, codebooks_of(config))
    return random_tensors(wanted, dtype=torch.float32, device="cpu", seed=seed)


def fused(weights: Weights, *, steps: int) -> Weights:
    """The published layout: projections of all depth steps stacked, the older names."""
    found = {name: part for name, part in weights.items() if "_projs." not in name}
    prefixes = {name.partition(".self_attn")[0] for name in weights if "_projs." in name}
    for prefix in sorted(prefixes):
        count = steps if prefix.startswith("depformer") else 1
        for way, name in (("in", "in_proj_weight"), ("out", "out_proj.weight")):
            parts = [weights[f"{prefix}.self_attn.{way}_projs.{i}.weight"] for i in range(count)]
            found[f"{prefix}.self_attn.{name}"] = torch.cat(parts)
    return found


@cache
def text_model() -> bytes:
    """A SentencePiece model of ``TEXT_CARD`` pieces, numbered as the published one."""
    words = [
        "you are a friendly voice and you speak to the caller",
        "the parcel is on its way to the quick brown fox",
        "system says hello there to the lazy dog that jumps",
        "what is the name of the street and the house number",
        "thank you for your patience, the call is over now",
    ]
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words * 20),
        model_writer=out,
        vocab_size=TEXT_CARD,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=3,
        hard_vocab_limit=True,
        minloglevel=2,
    )
    return out.getvalue()


def write_checkpoint(folder: Path, *, layout: str = "fused", **keys: Any) -> MoshiConfig:
    """A whole checkpoint in ``folder``."""
    config = tiny_config(folder, **keys)
    weights = lm_weights(config.lm)
    if layout == "fused":
        weights = fused(weights, steps=config.lm.spoken)
    save_file(weights, folder / MODEL_FILE)
    books = {name: part.contiguous() for name, part in mimi_weights(config).items()}
    save_file(books, folder / MIMI_FILE)
    (folder / TEXT_FILE).write_bytes(text_model())
    return config


if __name__ == "__main__":
    made = Path(sys.argv[1])
    made.mkdir(parents=True, exist_ok=True)
    write_checkpoint(made)
