"""The word net: which word ends about now, of some hundred. A tower of its own; the caller's channel only.

Frame-wise classes from word times train at once where CTC alone stays blank for long (small_model.md 7, 12). A CTC head
over letters may be added on the same trunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from agent.model.small.features import BANDS
from agent.training.net.floor import KERNEL, PAST, STRIDE, scaled
from agent.training.text.vocabulary import FIRST, NONE, words

NONE_WEIGHT: Final = 0.25
"""Most frames are in no word's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordSizes:
    """How large the net is. The default has 2.2 million parameters."""

    front: int = 96
    frame: int = 192
    hidden: int = 384
    layers: int = 2


@dataclass(slots=True)
class WordState:
    """What one row carries from step to step."""

    first: Tensor
    second: Tensor
    hidden: Tensor


class WordNet(nn.Module):  # type: ignore[misc]
    """Logits of all words, 25 times a second. Causal; streaming = offline."""

    def __init__(self, sizes: WordSizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes = sizes or WordSizes()
        self.first = nn.Conv1d(BANDS, sizes.front, KERNEL, STRIDE)
        self.second = nn.Conv1d(sizes.front, sizes.frame, KERNEL, STRIDE)
        self.gru = nn.GRU(sizes.frame, sizes.hidden, sizes.layers, batch_first=True)
        self.head = nn.Linear(sizes.hidden, FIRST + len(words()))

    def start(self, rows: int) -> WordState:
        """State of rows that have heard silence only."""
        device = self.head.weight.device
        floor = float(scaled(torch.zeros(1)))
        quiet = torch.full((rows, BANDS, PAST), floor, device=device)
        said = torch.relu(self.first(torch.full((1, BANDS, KERNEL), floor, device=device)))
        past = said.detach().expand(rows, -1, PAST).contiguous()
        return WordState(quiet, past, torch.zeros((self.sizes.layers, rows, self.sizes.hidden), device=device))

    def forward(self, caller: Tensor, state: WordState) -> tuple[Tensor, WordState]:
        """``caller`` uint8 ``[B, 4 T, 40]`` → logits ``[B, T, classes]``, state."""
        line = torch.cat((state.first, scaled(caller).transpose(1, 2)), dim=2)
        second_line = torch.cat((state.second, torch.relu(self.first(line))), dim=2)
        frames = torch.relu(self.second(second_line)).transpose(1, 2)
        out, hidden = self.gru(frames, state.hidden)
        return self.head(out), WordState(line[:, :, -PAST:], second_line[:, :, -PAST:], hidden)


def word_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over all frames, those without a word for a quarter."""
    weights = torch.ones(logits.shape[-1], device=logits.device)
    weights[NONE] = NONE_WEIGHT
    return nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), weights)


def hits(logits: Tensor, labels: Tensor) -> tuple[int, int]:
    """Frames of listed words that are named right, and how many there are."""
    asked = labels >= FIRST
    return int(((logits.argmax(-1) == labels) & asked).sum()), int(asked.sum())
