"""The floor net: hears both channels, knows what is expected, says who has the floor. Causal; streaming = offline.

log-mel 10 ms → two strided convolutions → 40 ms frames (+ our own channel, + expectation) → GRU → heads
(small_model.md 5, duplex.md 5). No batch norm, no look-ahead: frame ``f`` has heard ``[0, 40 (f + 1))`` ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from agent.model.small.expectation import SIZE
from agent.model.small.features import BANDS, FLOOR_DB, STEP_DB
from agent.training.net.gru import Gru

KERNEL: Final = 5
STRIDE: Final = 2
PAST: Final = KERNEL - STRIDE
"""Frames of the past that a convolution keeps."""
PER_FRAME: Final = STRIDE * STRIDE
"""Feature frames (10 ms) in one frame of the net (40 ms)."""
CENTRE_DB, SPREAD_DB = -50.0, 20.0
HEADS: Final = {"speech": 1, "end": 1, "soon": 1, "fits": 1, "overlap": 7, "future": 8, "sound": 8}
"""Outputs by head: logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorSizes:
    """How large the net is. The default has 1.7 million parameters."""

    front: int = 96
    frame: int = 160
    own: int = 48
    expect: int = 32
    hidden: int = 384
    layers: int = 2


@dataclass(slots=True)
class FloorState:
    """What one row carries from step to step; rows first in every array."""

    first: Tensor
    """``[B, 40, 3]`` past features."""
    second: Tensor
    """``[B, front, 3]`` past output of the first convolution."""
    hidden: Tensor
    """``[layers, B, hidden]``."""


class FloorNet(nn.Module):  # type: ignore[misc]
    """Logits of all heads, 25 times a second."""

    def __init__(self, sizes: FloorSizes = FloorSizes()) -> None:
        super().__init__()
        self.sizes = sizes
        self.first = nn.Conv1d(BANDS, sizes.front, KERNEL, STRIDE)
        self.second = nn.Conv1d(sizes.front, sizes.frame, KERNEL, STRIDE)
        self.own = nn.Linear(PER_FRAME * BANDS, sizes.own)
        self.expect = nn.Linear(SIZE, sizes.expect)
        self.gru = Gru(sizes.frame + sizes.own + sizes.expect, sizes.hidden, sizes.layers, batch_first=True)
        self.head = nn.Linear(sizes.hidden, sum(HEADS.values()))

    def start(self, rows: int) -> FloorState:
        """State of rows that have heard silence only."""
        device = self.head.weight.device
        quiet = torch.full((rows, BANDS, PAST), _scaled_floor(), device=device)
        # What the first convolution says of silence: as if the call had been silent for ever.
        said = self._relu(self.first(torch.full((1, BANDS, KERNEL), _scaled_floor(), device=device)))
        past = said.detach().expand(rows, -1, PAST).contiguous()
        hidden = torch.zeros((self.sizes.layers, rows, self.sizes.hidden), device=device)
        return FloorState(quiet, past, hidden)

    def forward(
        self, caller: Tensor, own: Tensor, expect: Tensor, state: FloorState
    ) -> tuple[dict[str, Tensor], FloorState]:
        """``caller``, ``own`` uint8 ``[B, 4 T, 40]``, ``expect`` ``[B, T, SIZE]`` → logits ``[B, T, n]`` by head."""
        mel = scaled(caller).transpose(1, 2)
        line = torch.cat((state.first, mel), dim=2)
        once = self._relu(self.first(line))
        second_line = torch.cat((state.second, once), dim=2)
        frames = self._relu(self.second(second_line)).transpose(1, 2)
        rows, count = frames.shape[:2]
        ours = self._relu(self.own(scaled(own).reshape(rows, count, PER_FRAME * BANDS)))
        wanted = self._relu(self.expect(expect))
        out, hidden = self.gru(torch.cat((frames, ours, wanted), dim=2), state.hidden)
        parts = torch.split(self.head(out), list(HEADS.values()), dim=2)
        after = FloorState(line[:, :, -PAST:], second_line[:, :, -PAST:], hidden)
        return dict(zip(HEADS, parts, strict=True)), after

    @staticmethod
    def _relu(value: Tensor) -> Tensor:
        return torch.relu(value)


def scaled(codes: Tensor) -> Tensor:
    """Feature codes as numbers near zero."""
    return (codes.float() * STEP_DB + (FLOOR_DB - CENTRE_DB)) / SPREAD_DB


def _scaled_floor() -> float:
    return (FLOOR_DB - CENTRE_DB) / SPREAD_DB


def parameters(net: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(weights.numel() for weights in net.parameters())
