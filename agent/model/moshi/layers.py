"""What both transformers are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch.nn import functional

RMS_EPSILON: Final = 1e-8
"""Of ``rms_norm_f32``."""


def rms_norm(x: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """``x [..., d]``, ``alpha [d]`` float32: computed in float32, given back in ``x``'s type."""
    return functional.rms_norm(x.float(), (x.shape[-1],), alpha, RMS_EPSILON).to(x.dtype)


def rope_frequencies(head_dim: int, max_period: float, device: str) -> torch.Tensor:
    """``[head_dim / 2]`` float32."""
    at = torch.arange(head_dim // 2, device=device, dtype=torch.float32)
    return torch.exp(at * (-math.log(max_period) * 2 / head_dim))


def rope_turns(positions: torch.Tensor, frequencies: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine ``[..., head_dim / 2]`` of integer positions ``[...]``, for all layers of a step."""
    angles = positions.to(torch.float32)[..., None] * frequencies
    return torch.cos(angles), torch.sin(angles)


def rope(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotate ``x [..., d]``, real and imaginary parts interleaved; ``cosine``, ``sine`` broadcast to ``[..., d /
    2]``.
    """
    real, imaginary = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack((real * cosine - imaginary * sine, real * sine + imaginary * cosine), dim=-1)
    return turned.flatten(-2).to(x.dtype)


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """Weights of one layer (of the depth transformer: in one step)."""

    norm1: torch.Tensor
    """``[dim]`` float32"""
    project_in: torch.Tensor
    """``[3 dim, dim]``"""
    project_out: torch.Tensor
    norm2: torch.Tensor
    gate_in: torch.Tensor
    """``[2 hidden, dim]``"""
    gate_out: torch.Tensor


def layer_weights(tensors: Mapping[str, torch.Tensor], prefix: str, step: int | None = None) -> LayerWeights:
    """By the names of ``layout``; ``step`` for a layer with weights per step."""
    gating = f"{prefix}.gating" if step is None else f"{prefix}.gating.{step}"
    at = step or 0
    return LayerWeights(
        norm1=tensors[f"{prefix}.norm1.alpha"].float().flatten(),
        project_in=tensors[f"{prefix}.self_attn.in_projs.{at}.weight"],
        project_out=tensors[f"{prefix}.self_attn.out_projs.{at}.weight"],
        norm2=tensors[f"{prefix}.norm2.alpha"].float().flatten(),
        gate_in=tensors[f"{gating}.linear_in.weight"],
        gate_out=tensors[f"{gating}.linear_out.weight"],
    )
