"""Tokens from logits, with noise that belongs to a row.

The noise of a candidate is a hash of (the row's seed, its position, the stream, the token): it needs no generator, is
the same on every device and in every batch, survives a snapshot, and can be captured in a graph.
"""

from __future__ import annotations

from typing import Final, Protocol

import torch

_MASK: Final = 0xFFFFFFFF
STEP: Final = 0x9E3779B9


def _mix(x: torch.Tensor) -> torch.Tensor:
    """A 32-bit integer hash (lowbias32) in int64; in: 0..2^32 - 1, out: the same range."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _MASK
    return x ^ (x >> 16)


def row_keys(seeds: torch.Tensor, positions: torch.Tensor, stream: int) -> torch.Tensor:
    """``[rows]``: the key of one draw. ``seeds``: any 64-bit integers."""
    key = _mix((seeds & _MASK) ^ STEP)
    key = _mix(key ^ ((seeds >> 32) & _MASK))
    key = _mix(key ^ (positions & _MASK))
    return _mix(key ^ (((stream + 1) * STEP) & _MASK))


def uniform(keys: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """``keys [rows]``, ``tokens [rows, n]`` to float32 in (0, 1) ``[rows, n]``."""
    mixed = _mix(keys[:, None] ^ _mix((tokens * STEP) & _MASK))
    return ((mixed >> 8).to(torch.float32) + 0.5) * 2.0**-24


class Draw(Protocol):
    """Candidates ``values``, ``tokens`` ``[rows, n]`` to the token ``[rows]`` that each row draws."""

    def __call__(
        self,
        values: torch.Tensor,
        tokens: torch.Tensor,
        seeds: torch.Tensor,
        positions: torch.Tensor,
        stream: int,
        temperature: float,
    ) -> torch.Tensor: ...


def draw(
    values: torch.Tensor,
    tokens: torch.Tensor,
    seeds: torch.Tensor,
    positions: torch.Tensor,
    stream: int,
    temperature: float,
) -> torch.Tensor:
    """Gumbel's trick: the largest of logit + noise is a draw from the softmax."""
    noise = -torch.log(-torch.log(uniform(row_keys(seeds, positions, stream), tokens)))
    best = (values / temperature + noise).argmax(-1, keepdim=True)
    return tokens.gather(-1, best)[:, 0]


def sample(
    logits: torch.Tensor,
    seeds: torch.Tensor,
    positions: torch.Tensor,
    stream: int,
    *,
    temperature: float,
    top_k: int,
    draw: Draw = draw,
) -> torch.Tensor:
    """``logits [rows, n]`` to tokens ``[rows]``.

    The likeliest at temperature 0, else drawn from the ``top_k`` likeliest.
    """
    logits = logits.float()
    if temperature <= 0.0:
        return logits.argmax(-1)
    values, tokens = torch.topk(logits, min(top_k, logits.shape[-1]), dim=-1, sorted=False)
    return draw(values, tokens, seeds, positions, stream, temperature)
