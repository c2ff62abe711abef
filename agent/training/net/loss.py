"""What the floor net is trained for. Frames that are not asked (255) cost nothing; a head without any is left out."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from agent.training.conversation.labels import NOT_ASKED

WEIGHTS: Final = {
    "speech": 1.0,
    "end": 1.5,
    "soon": 0.5,
    "fits": 0.3,
    "overlap": 1.0,
    "future": 0.5,
    "sound": 0.3,
    "word": 1.0,
}
PAUSE_WEIGHT: Final = 3.0
"""Frames of a pause inside a turn count so often: they are what is hard."""
FUTURE_FRAMES: Final = ((0, 5), (5, 15), (15, 30), (30, 50))
"""0-0.2, 0.2-0.6, 0.6-1.2, 1.2-2.0 s ahead (duplex.md 5)."""
OVERLAP_WEIGHTS: Final = (0.4, 1.5, 1.5, 1.5, 1.0, 1.0, 0.6)
"""none, takes, backchannel, tic, side, noise, echo: the rare ones more."""


def losses(logits: dict[str, Tensor], labels: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each head's mean loss over the frames that are asked; ``labels`` uint8 ``[B, T]``."""
    found: dict[str, Tensor] = {}
    for name in ("speech", "end", "soon", "fits"):
        weight = torch.ones_like(labels["speech"], dtype=torch.float32)
        if name in ("end", "soon"):
            pause = (labels[name] == 0) & (labels["speech"] == 0)
            weight = torch.where(pause, PAUSE_WEIGHT, 1.0)
        _add(found, name, _yes_no(logits[name].squeeze(-1), labels[name], weight))
    asked = labels["overlap"] != NOT_ASKED
    if bool(asked.any()):
        weights = torch.tensor(OVERLAP_WEIGHTS, device=asked.device)
        found["overlap"] = functional.cross_entropy(logits["overlap"][asked], labels["overlap"][asked].long(), weights)
    ahead, known = future(labels["speech"], labels["own"])
    if bool(known.any()):
        found["future"] = functional.binary_cross_entropy_with_logits(logits["future"][known], ahead[known])
    bits = (labels["sound"].unsqueeze(-1) >> torch.arange(8, device=asked.device, dtype=torch.uint8)) & 1
    found["sound"] = functional.binary_cross_entropy_with_logits(logits["sound"], bits.float())
    return found


def total(found: dict[str, Tensor]) -> Tensor:
    """The weighted sum that is made smaller."""
    return torch.stack([WEIGHTS[name] * value for name, value in found.items()]).sum()


def future(speech: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Whether caller and agent will be speaking: ``[B, T, 8]`` of 0 and 1, and ``[B, T]`` where the future is known."""
    both = torch.stack((speech == 1, own == 1), dim=1).float()  # [B, 2, T]
    count = both.shape[-1]
    sums = functional.pad(torch.cumsum(both, dim=-1), (1, 0))
    at = torch.arange(count, device=speech.device)
    bins = []
    for first, last in FUTURE_FRAMES:
        low, high = (at + 1 + first).clamp(max=count), (at + 1 + last).clamp(max=count)
        bins.append((sums[:, :, high] - sums[:, :, low]) >= 0.5 * (last - first))
    ahead = torch.stack(bins, dim=-1).permute(0, 2, 1, 3).reshape(speech.shape[0], count, 2 * len(bins))
    known = (at + 1 + FUTURE_FRAMES[-1][1] <= count).expand(speech.shape)
    return ahead.float(), known


def _yes_no(logit: Tensor, label: Tensor, weight: Tensor) -> Tensor | None:
    asked = label != NOT_ASKED
    if not bool(asked.any()):
        return None
    each = functional.binary_cross_entropy_with_logits(logit[asked], label[asked].float(), reduction="none")
    return (each * weight[asked]).sum() / weight[asked].sum()


def _add(found: dict[str, Tensor], name: str, value: Tensor | None) -> None:
    if value is not None:
        found[name] = value
