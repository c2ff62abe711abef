"""The operations between the matrix products, and the seam for kernels.

``TorchOps`` is plain PyTorch: exact everywhere, and what kernels are compared with. ``kernels.TritonOps`` does each
of them in one launch and reads, of each row's ring, only what that row has used.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch.nn import functional

from agent.model.moshi.kv import KvRing
from agent.model.moshi.layers import rms_norm, rope
from agent.model.moshi.sampling import draw


class Ops(Protocol):
    def add_norm(self, x: torch.Tensor, update: torch.Tensor, alpha: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``x + update`` and its norm, both ``[rows, d]``; ``alpha [d]`` float32."""
        ...

    def norm(self, x: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        """``[rows, d]``"""
        ...

    def gate(self, both: torch.Tensor) -> torch.Tensor:
        """``[rows, 2 h]`` to ``[rows, h]``: the SiLU of the first half times the second."""
        ...

    def turn_and_write(
        self,
        projected: torch.Tensor,
        cosine: torch.Tensor,
        sine: torch.Tensor,
        ring: KvRing,
        layer: int,
        slots: torch.Tensor,
    ) -> torch.Tensor:
        """``projected [rows, 3 heads head_dim]``: keys (turned) and values into ``slots``; gives the turned queries.

        ``cosine``, ``sine``: ``[rows, head_dim / 2]``; queries: ``[rows, heads, head_dim]``.
        """
        ...

    def attend(
        self, query: torch.Tensor, ring: KvRing, layer: int, lengths: torch.Tensor, longest: int
    ) -> torch.Tensor:
        """One query per row against ``lengths [rows]`` slots of its ring: ``[rows, heads, head_dim]`` to the same.

        ``longest``: no row is longer, known on the host. An operation that needs no bound ignores it.
        """
        ...

    def draw(
        self,
        values: torch.Tensor,
        tokens: torch.Tensor,
        seeds: torch.Tensor,
        positions: torch.Tensor,
        stream: int,
        temperature: float,
    ) -> torch.Tensor:
        """See ``sampling.draw``."""
        ...


class TorchOps:
    """Plain PyTorch. Attention reads, of each class of rows, as many slots as its longest row has."""

    def add_norm(self, x: torch.Tensor, update: torch.Tensor, alpha: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = x + update
        return x, rms_norm(x, alpha)

    def norm(self, x: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, alpha)

    def gate(self, both: torch.Tensor) -> torch.Tensor:
        gate, value = both.chunk(2, dim=-1)
        return functional.silu(gate) * value

    def turn_and_write(
        self,
        projected: torch.Tensor,
        cosine: torch.Tensor,
        sine: torch.Tensor,
        ring: KvRing,
        layer: int,
        slots: torch.Tensor,
    ) -> torch.Tensor:
        query, key, value = projected.unflatten(-1, (3, ring.heads, ring.head_dim)).unbind(1)
        ring.write(layer, slots, rope(key, cosine[:, None], sine[:, None]), value)
        return rope(query, cosine[:, None], sine[:, None])

    def attend(
        self, query: torch.Tensor, ring: KvRing, layer: int, lengths: torch.Tensor, longest: int
    ) -> torch.Tensor:
        found = []
        for first, past, window in ring.classes:
            n = min(window, longest)
            keys, values = ring.read(layer, first, past, window, n)
            inside = torch.arange(n, device=query.device) < lengths[first:past, None]
            part = functional.scaled_dot_product_attention(
                query[first:past, :, None], keys, values, attn_mask=inside[:, None, None]
            )
            found.append(part[:, :, 0])
        return found[0] if len(found) == 1 else torch.cat(found)

    def draw(
        self,
        values: torch.Tensor,
        tokens: torch.Tensor,
        seeds: torch.Tensor,
        positions: torch.Tensor,
        stream: int,
        temperature: float,
    ) -> torch.Tensor:
        return draw(values, tokens, seeds, positions, stream, temperature)
