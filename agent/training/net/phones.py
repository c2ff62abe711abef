"""The phone net: which sound of English comes now, every 30 ms. The caller's channel only; causal; trained by CTC.

log-mel 10 ms → two convolutions, the first strided → 30 ms frames → GRU → phones and blank. It decides no word: a
grammar does (``agent.model.small.words_graph``), so that any dialogue's words can be listened for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from agent.model.small.features import BANDS
from agent.model.small.words_phones import LABELS
from agent.training.net.floor import scaled
from agent.training.net.gru import Gru

KERNEL, STRIDE, SECOND = 9, 3, 3
PAST: Final = KERNEL - STRIDE
"""Feature frames that the first convolution keeps."""
SECOND_PAST: Final = SECOND - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneSizes:
    """How large the net is. The default has 2.8 million parameters."""

    front: int = 256
    hidden: int = 384
    layers: int = 3
    dropout: float = 0.15


@dataclass(slots=True)
class PhoneState:
    """What one row carries from step to step."""

    first: Tensor
    """``[B, 40, 6]`` past features."""
    second: Tensor
    """``[B, front, 2]`` past output of the first convolution."""
    hidden: Tensor
    """``[layers, B, hidden]``."""


class PhoneNet(nn.Module):  # type: ignore[misc]
    """Logits of blank and phones. Streaming = offline."""

    def __init__(self, sizes: PhoneSizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes = sizes or PhoneSizes()
        self.first = nn.Conv1d(BANDS, sizes.front, KERNEL, STRIDE)
        self.second = nn.Conv1d(sizes.front, sizes.front, SECOND)
        dropout = sizes.dropout if sizes.layers > 1 else 0.0
        self.gru = Gru(sizes.front, sizes.hidden, sizes.layers, batch_first=True, dropout=dropout)
        self.head = nn.Linear(sizes.hidden, LABELS)

    def start(self, rows: int) -> PhoneState:
        """State of rows that have heard silence only."""
        device = self.head.weight.device
        floor = float(scaled(torch.zeros(1)))
        quiet = torch.full((rows, BANDS, PAST), floor, device=device)
        said = torch.relu(self.first(torch.full((1, BANDS, KERNEL), floor, device=device)))
        past = said.detach().expand(rows, -1, SECOND_PAST).contiguous()
        hidden = torch.zeros((self.sizes.layers, rows, self.sizes.hidden), device=device)
        return PhoneState(quiet, past, hidden)

    def forward(self, codes: Tensor, state: PhoneState) -> tuple[Tensor, PhoneState]:
        """``codes`` ``[B, 3 T, 40]`` → logits ``[B, T, 40]``, state."""
        line = torch.cat((state.first, scaled(codes).transpose(1, 2)), dim=2)
        second_line = torch.cat((state.second, torch.relu(self.first(line))), dim=2)
        frames = torch.relu(self.second(second_line)).transpose(1, 2)
        out, hidden = self.gru(frames, state.hidden)
        return self.head(out), PhoneState(line[:, :, -PAST:], second_line[:, :, -SECOND_PAST:], hidden)
