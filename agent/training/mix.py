"""Weights between those of nets of one shape: ``python -m agent.training.mix FIRST.pt OTHER.pt:0.3 --out MIXED.pt``.

Each net before a colon counts by its share, the first by the rest. Of either kind (floor, phones); what is mixed is
what a checkpoint is judged by. The result is exported, or begins a training (``--start``); none goes on with it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from torch import Tensor

from agent.training.command import command
from agent.training.errors import TrainingError

OF_A_RUN: Final = ("optimiser", "average", "began")
"""What a mixture has not."""


def part(text: str) -> tuple[Path, float]:
    """``FILE:SHARE``, for ``argparse``."""
    path, _, share = text.rpartition(":")
    try:
        number = float(share)
    except ValueError:
        number = 0.0
    if not path or not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text}: wants FILE:SHARE, the share between 0 and 1")
    return Path(path), number


def mix(first: Path, others: Sequence[tuple[Path, float]], out: Path) -> None:
    """Write the mixture, whole or not at all. Raises ``TrainingError``."""
    rest = 1.0 - sum(share for _, share in others)
    if rest <= 0:
        raise TrainingError("the shares of the others must leave something to the first net")
    base = _read(first)
    mixed = {name: rest * value for name, value in _weights(base).items()}
    for path, share in others:
        other = _weights(_read(path))
        if {name: value.shape for name, value in other.items()} != {name: v.shape for name, v in mixed.items()}:
            raise TrainingError(f"{path}: a net of another shape than {first}")
        for name, value in other.items():
            mixed[name] += share * value
    passing = out.with_suffix(".part")
    torch.save({**{name: value for name, value in base.items() if name not in OF_A_RUN}, "net": mixed}, passing)
    os.replace(passing, out)


def _weights(state: dict[str, Any]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = state.get("average") or state["net"]
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        _weights(state)
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        UnpicklingError,
    ) as broken:
        raise TrainingError(f"{path}: no checkpoint of ours: {type(broken).__name__}") from None
    return state


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m agent.training.mix", description="Mix the weights of nets.")
    parser.add_argument("first", type=Path)
    parser.add_argument("others", type=part, nargs="+", metavar="FILE:SHARE")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(argv)
    mix(asked.first, asked.others, asked.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
