"""The depth transformer: the audio codes of one frame, one after another, each step with weights of its own."""

from __future__ import annotations

import torch
from torch.nn import functional

from agent.model.moshi.checkpoint import Tensors
from agent.model.moshi.config import NOT_GENERATED, LMConfig, Sampling
from agent.model.moshi.layers import layer_weights
from agent.model.moshi.ops import Ops
from agent.model.moshi.sampling import sample


class Depth:
    """A vector per row and its text token in, ``spoken`` audio codes out."""

    def __init__(self, config: LMConfig, tensors: Tensors, ops: Ops) -> None:
        self._config, self._ops = config, ops
        self.steps = config.spoken
        self._from_temporal = [tensors[f"depformer_in.{i}.weight"] for i in range(self.steps)]
        self._embeddings = [
            tensors["depformer_text_emb.weight"],
            *(tensors[f"depformer_emb.{i}.weight"] for i in range(self.steps - 1)),
        ]
        self._heads = [tensors[f"linears.{i}.weight"] for i in range(self.steps)]
        self._layers = [
            [layer_weights(tensors, f"depformer.layers.{i}", step) for i in range(config.depth_layers)]
            for step in range(self.steps)
        ]

    def run(
        self,
        hidden: torch.Tensor,
        text: torch.Tensor,
        forced: torch.Tensor,
        *,
        seeds: torch.Tensor,
        positions: torch.Tensor,
        sampling: Sampling,
        keep_logits: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """``hidden [rows, dim]``, ``text [rows]``, ``forced [rows, steps]`` (-2: free) to codes ``[rows, steps]``.

        A forced code is what the next step hears, and what comes out.
        """
        past: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * self._config.depth_layers
        codes = []
        token = text
        for step in range(self.steps):
            logits = self._step(step, hidden, token, past)
            if keep_logits is not None:
                keep_logits.append(logits.float())
            drawn = sample(
                logits,
                seeds,
                positions,
                step + 1,
                temperature=sampling.audio_temperature,
                top_k=sampling.audio_top_k,
                draw=self._ops.draw,
            )
            token = torch.where(forced[:, step] == NOT_GENERATED, drawn, forced[:, step])
            codes.append(token)
        return torch.stack(codes, dim=1)

    def _step(
        self,
        step: int,
        hidden: torch.Tensor,
        token: torch.Tensor,
        past: list[tuple[torch.Tensor, torch.Tensor] | None],
    ) -> torch.Tensor:
        config, ops, layers = self._config, self._ops, self._layers[step]
        x = functional.linear(hidden, self._from_temporal[step])
        x, normed = ops.add_norm(x, functional.embedding(token.clamp_min(0), self._embeddings[step]), layers[0].norm1)
        for number, layer in enumerate(layers):
            projected = functional.linear(normed, layer.project_in)
            query, key, value = projected.unflatten(-1, (3, config.depth_heads, -1)).permute(1, 0, 2, 3)[:, :, :, None]
            if (before := past[number]) is not None:
                key, value = torch.cat((before[0], key), dim=2), torch.cat((before[1], value), dim=2)
            past[number] = (key, value)
            heard = functional.scaled_dot_product_attention(query, key, value)
            x, normed = ops.add_norm(x, functional.linear(heard.flatten(1), layer.project_out), layer.norm2)
            update = functional.linear(ops.gate(functional.linear(normed, layer.gate_in)), layer.gate_out)
            if number + 1 < len(layers):
                x, normed = ops.add_norm(x, update, layers[number + 1].norm1)
            else:
                x = x + update
        return functional.linear(x, self._heads[step])
