"""A GRU whose products are bf16 and whose gates are one pass of C (``gates.c``), by the names and shapes of torch's.

Source: Cho et al. 2014 in the form of cuDNN and ``torch.nn.GRU`` (the reset gate behind the recurrent product). torch's
own GRU on a CPU spends most of a training step in float32 products and in a dozen passes over memory for each time
step. Rounded to bf16: weights, biases, the layer's input, what products give, the gates kept for the way back, and the
gradients that products take. Float32: the gates' arithmetic, the hidden state that is carried and told, its gradient
on the path past the gates, the weights themselves and their gradients behind the products.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from agent.training.net.gates import library
from agent.training.net.products import Products

BF16 = torch.bfloat16
PARTS = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")


class Gru(nn.GRU):  # type: ignore[misc]
    """torch's GRU, which may be told to multiply in bf16 (on a CPU, ``[B, T, n]``)."""

    products: Products = Products.FLOAT32

    def forward(self, frames: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """``frames`` ``[B, T, n]``, ``hidden`` ``[layers, B, H]`` → ``[B, T, H]``, and the hidden state behind them.

        Float32 in and out either way.
        """
        if self.products is not Products.BF16:
            out, last = super().forward(frames, hidden)
            return out, last
        value, after = frames.transpose(0, 1), []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                value = nn.functional.dropout(value, self.dropout, self.training)
            weights = (getattr(self, f"{part}_l{layer}") for part in PARTS)
            value, last = _Layer.apply(value, hidden[layer], *weights)
            after.append(last)
        return value.transpose(0, 1), torch.stack(after)

    def around(self) -> AbstractContextManager[Any]:
        """What the rest of the net is computed under: products as here."""
        return torch.autocast("cpu", BF16) if self.products is Products.BF16 else nullcontext()


class _Layer(torch.autograd.Function):  # type: ignore[misc]
    """One layer. Time first: ``x`` ``[T, B, n]``, ``h0`` ``[B, H]`` → ``[T, B, H]`` and its last step, float32.

    Weights and biases as torch's: ``[3 H, n]``, ``[3 H]``, ``[3 H, H]``, ``[3 H]``, gates r, z, n.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, h0: Tensor, weight_ih: Tensor, bias_ih: Tensor, weight_hh: Tensor, bias_hh: Tensor
    ) -> tuple[Tensor, Tensor]:
        (steps, rows), size = x.shape[:2], h0.shape[-1]
        flat = x.to(BF16).reshape(steps * rows, -1)
        from_input = torch.addmm(bias_ih.to(BF16), flat, weight_ih.to(BF16).t()).view(steps, rows, 3 * size)
        recurrent, bias = weight_hh.to(BF16).t().contiguous(), bias_hh.to(BF16)
        from_hidden = torch.empty(rows, 3 * size, dtype=BF16)
        out = torch.empty(steps, rows, size)
        hidden16 = torch.empty(steps + 1, rows, size, dtype=BF16)
        hidden16[0] = h0
        kept = [torch.empty(steps, rows, size, dtype=BF16) for _ in range(4)]
        begin = h0.float().contiguous()
        wide, narrow = rows * size * 4, rows * size * 2  # bytes of a step
        gx, gh, h, after, after16 = (a.data_ptr() for a in (from_input, from_hidden, begin, out, hidden16))
        r, z, n, gh_n = (a.data_ptr() for a in kept)
        gates = library().gates_forward
        for step in range(steps):
            torch.addmm(bias, hidden16[step], recurrent, out=from_hidden)
            at, after16 = step * narrow, after16 + narrow
            gates(gx + 3 * at, gh, h, r + at, z + at, n + at, gh_n + at, after, after16, rows, size)
            h, after = after, after + wide
        ctx.save_for_backward(flat, hidden16, *kept, weight_ih, weight_hh)
        return out, out[-1].clone()

    @staticmethod
    def backward(ctx: Any, d_out: Tensor, d_last: Tensor) -> tuple[Tensor | None, ...]:
        flat, hidden16, *kept, weight_ih, weight_hh = ctx.saved_tensors
        steps, rows, size = kept[0].shape
        recurrent = weight_hh.to(BF16)
        d_input, d_hidden = (torch.empty(steps, rows, 3 * size, dtype=BF16) for _ in range(2))
        above = d_out.float().contiguous()
        later = d_last.float().clone(memory_format=torch.contiguous_format)
        earlier, through = torch.empty_like(later), torch.zeros(rows, size, dtype=BF16)
        wide, narrow = rows * size * 4, rows * size * 2
        dy, back, h16, dgx, dgh = (a.data_ptr() for a in (above, through, hidden16, d_input, d_hidden))
        r, z, n, gh_n = (a.data_ptr() for a in kept)
        gates = library().gates_backward
        for step in range(steps - 1, -1, -1):
            at = step * narrow
            into = (dgx + 3 * at, dgh + 3 * at, earlier.data_ptr())
            given = (r + at, z + at, n + at, gh_n + at, h16 + at)
            gates(later.data_ptr(), dy + step * wide, back, *given, *into, rows, size)
            later, earlier = earlier, later
            torch.mm(d_hidden[step], recurrent, out=through)
        to_input, to_hidden = d_input.view(steps * rows, -1), d_hidden.view(steps * rows, -1)
        ones = torch.ones(1, steps * rows, dtype=BF16)  # a sum as a product: float32 inside
        d_x = torch.mm(to_input, weight_ih.to(BF16)).float().view(steps, rows, -1) if ctx.needs_input_grad[0] else None
        return (
            d_x,
            later + through.float(),
            torch.mm(to_input.t(), flat).float(),
            torch.mm(ones, to_input).float()[0],
            torch.mm(to_hidden.t(), hidden16[:-1].reshape(steps * rows, size)).float(),
            torch.mm(ones, to_hidden).float()[0],
        )
