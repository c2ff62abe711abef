"""How much faster the GRU of bf16 products is than torch's own: ``python -m agent.training.gru_bench [--json]``.

Forward and back of the recurrent part of both nets, at the batches that the shipped ones were trained with, one thread.
Both are timed by turns in CPU time, and the best of each counts, so that neighbours on the machine harm neither alone.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from typing import Final

import torch

from agent.training.command import command
from agent.training.net.floor import FloorSizes
from agent.training.net.gates import instructions
from agent.training.net.gru import Gru
from agent.training.net.memory import keep_pages
from agent.training.net.phones import PhoneSizes
from agent.training.net.products import Asked, Products, chosen

FLOOR, PHONES = FloorSizes(), PhoneSizes()
SHAPES: Final = {
    "floor": (64, 512, FLOOR.frame + FLOOR.own + FLOOR.expect, FLOOR.hidden, FLOOR.layers),
    "phones": (48, 166, PHONES.front, PHONES.hidden, PHONES.layers),
}
"""Rows, steps, inputs, units, layers: 64 calls of 20.48 s, 48 strings of 5 s."""
TURNS: Final = 3


def seconds(gru: Gru, rows: int, steps: int, size: int) -> dict[Products, float]:
    """CPU time of a forward and back by each."""
    frames = torch.randn(rows, steps, size)
    best = dict.fromkeys(Products, float("inf"))
    for _ in range(TURNS):
        for products in Products:
            gru.products = products
            began = time.process_time()
            out, _ = gru(frames, torch.zeros(gru.num_layers, rows, gru.hidden_size))
            out.square().mean().backward()
            best[products] = min(best[products], time.process_time() - began)
    return best


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m agent.training.gru_bench", description="Time our GRU and torch's.")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    chosen(Asked.BF16, "cpu")  # says what is lacking
    keep_pages()
    torch.set_num_threads(1)
    told = {"machine": platform.machine(), "amx": "amx_bf16" in instructions(), "torch": torch.__version__}
    for name, (rows, steps, size, hidden, layers) in SHAPES.items():
        best = seconds(Gru(size, hidden, layers, batch_first=True), rows, steps, size)
        told[name] = {"ratio": round(best[Products.FLOAT32] / best[Products.BF16], 1)}
        told[name] |= {f"{products}_s": round(value, 3) for products, value in best.items()}
    text = json.dumps(told) if asked.json else "\n".join(f"{name}: {value}" for name, value in told.items())
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
