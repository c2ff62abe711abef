"""In what numbers a training multiplies: float32, or bf16 where machine and compiler allow it. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.training.errors import TrainingError
from agent.training.net.gates import NoGates, library


class Products(StrEnum):
    """What the factors of matrix products are rounded to; sums and weights are float32."""

    FLOAT32 = "float32"
    """torch's own GRU, on any device."""
    BF16 = "bf16"
    """Our GRU (``net/gru.py``) and autocast for the rest: one CPU."""


class Asked(StrEnum):
    """Of a command."""

    AUTO = "auto"
    """bf16 where it can be had."""
    FLOAT32 = "float32"
    BF16 = "bf16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen, and why not the faster one."""

    products: Products
    lacking: str = ""

    def __str__(self) -> str:
        return f"{self.products} products" + (f" (the faster bf16: {self.lacking})" if self.lacking else "")


def chosen(asked: Asked, device: str, before: Products | None = None) -> Choice:
    """For a training on ``device``; ``before``: what the run that goes on has had.

    Compiles where needed. Raises ``TrainingError`` where bf16 was asked for, or had before, and cannot be.
    """
    wanted = before if before is not None and asked is Asked.AUTO else asked
    if wanted == Asked.FLOAT32:
        return Choice(products=Products.FLOAT32)
    lacking = _lacking(device)
    if not lacking:
        return Choice(products=Products.BF16)
    if wanted == Asked.BF16:
        begun = " (this run was begun with them)" if asked is Asked.AUTO else ""
        raise TrainingError(f"bf16 products{begun}: {lacking}")
    return Choice(products=Products.FLOAT32, lacking=lacking)


def _lacking(device: str) -> str:
    """Why there is no bf16 GRU; empty where there is."""
    if device != "cpu":
        return f"they are for the CPU, not for {device}"
    try:
        library()
    except NoGates as why:
        return str(why)
    return ""
