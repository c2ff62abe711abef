"""The temporal transformer: one position of every row per step, or a whole prompt of one row at once."""

from __future__ import annotations

import torch
from torch.nn import functional

from agent.model.moshi.checkpoint import Tensors
from agent.model.moshi.config import NO_INPUT, LMConfig
from agent.model.moshi.kv import KvRing
from agent.model.moshi.layers import layer_weights, rope, rope_frequencies, rope_turns
from agent.model.moshi.ops import Ops


class Temporal:
    """Tokens in, one vector per row out."""

    def __init__(self, config: LMConfig, tensors: Tensors, device: str, ops: Ops) -> None:
        self._config, self._ops = config, ops
        self._layers = [layer_weights(tensors, f"transformer.layers.{i}") for i in range(config.layers)]
        self._out_norm = tensors["out_norm.alpha"].float().flatten()
        self._text = tensors["text_emb.weight"]
        self._audio = torch.cat([tensors[f"emb.{i}.weight"] for i in range(config.streams)])
        """``[streams * (card + 1), dim]``: all tables in one, so that one look-up serves all streams."""
        self._first_code = torch.arange(config.streams, device=device) * (config.card + 1)
        self._frequencies = rope_frequencies(config.head_dim, config.max_period, device)
        self.text_head = tensors["text_linear.weight"]

    @property
    def dtype(self) -> torch.dtype:
        return self._text.dtype

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """``tokens [n, 1 + streams]``, text first, to ``[n, dim]``: the sum of their embeddings, in float32."""
        audio = functional.embedding(tokens[:, 1:].clamp_min(0) + self._first_code, self._audio).float()
        text = functional.embedding(tokens[:, 0].clamp_min(0), self._text).float()
        silent = (tokens == NO_INPUT)[..., None]
        return audio.masked_fill(silent[:, 1:], 0.0).sum(1) + text.masked_fill(silent[:, 0], 0.0)

    def step(
        self,
        tokens: torch.Tensor,
        *,
        ring: KvRing,
        positions: torch.Tensor,
        active: torch.Tensor,
        longest: int,
    ) -> torch.Tensor:
        """``tokens [rows, 1 + streams]`` at ``positions [rows]`` to ``[rows, dim]``. Rows not ``active`` leave no
        trace.
        """
        ops = self._ops
        x = self.embed(tokens).to(self.dtype)
        slots, lengths = ring.slots(positions, active), ring.lengths(positions)
        cosine, sine = rope_turns(positions, self._frequencies)
        normed = ops.norm(x, self._layers[0].norm1)
        for number, layer in enumerate(self._layers):
            projected = functional.linear(normed, layer.project_in)
            query = ops.turn_and_write(projected, cosine, sine, ring, number, slots)
            heard = ops.attend(query, ring, number, lengths, longest)
            x, normed = ops.add_norm(x, functional.linear(heard.flatten(1), layer.project_out), layer.norm2)
            inner = ops.gate(functional.linear(normed, layer.gate_in))
            x, normed = ops.add_norm(x, functional.linear(inner, layer.gate_out), self._norm_after(number))
        return normed

    def _norm_after(self, number: int) -> torch.Tensor:
        """The norm that follows a layer: the next one's, or the last."""
        return self._out_norm if number + 1 == len(self._layers) else self._layers[number + 1].norm1

    def prefill(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs ``x [n, dim]`` at positions 0 to n - 1 of a new row: keys and values ``[layers, heads, n, head_dim]``.

        A prompt is known beforehand, so all its positions go through each layer together: one pass over the
        weights instead of one per frame.
        """
        config, ops, n = self._config, self._ops, len(x)
        x = x.to(self.dtype)
        at = torch.arange(n, device=x.device)
        cosine, sine = rope_turns(at, self._frequencies)
        near = (at[:, None] >= at) & (at[:, None] - at < config.context)
        keys, values = [], []
        for layer in self._layers:
            projected = functional.linear(ops.norm(x, layer.norm1), layer.project_in)
            query, key, value = projected.unflatten(-1, (3, config.heads, config.head_dim)).permute(1, 2, 0, 3)
            key = rope(key, cosine, sine)
            keys.append(key)
            values.append(value)
            heard = functional.scaled_dot_product_attention(
                rope(query, cosine, sine)[None], key[None], value[None], attn_mask=near
            )
            update = functional.linear(heard[0].transpose(0, 1).flatten(1), layer.project_out)
            x, normed = ops.add_norm(x, update, layer.norm2)
            x = x + functional.linear(ops.gate(functional.linear(normed, layer.gate_in)), layer.gate_out)
        return torch.stack(keys), torch.stack(values)
