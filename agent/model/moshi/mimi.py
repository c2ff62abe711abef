"""The Mimi codec, streaming, for all rows at once: a frame of audio to codes, codes to a frame of audio.

Every layer keeps what it needs of the past per row, and a row that is masked keeps it bit for bit. Codes that are not
generated yet (-2) are decoded as code 0 and thrown away by their mask: they never reach an index.
"""

from __future__ import annotations

from typing import Final

import torch
from torch.nn import functional

from agent.model.moshi.checkpoint import Tensors
from agent.model.moshi.config import MimiConfig
from agent.model.moshi.layers import rope, rope_frequencies, rope_turns
from agent.model.moshi.layout import Block, Conv, decoder_net, encoder_net

LAYER_NORM_EPSILON: Final = 1e-5
LEAST_USAGE: Final = 1e-5
"""A codebook's sums are divided by at least that usage."""


class State:
    """Tensors of one half of the codec, rows first, by name."""

    def __init__(self, rows: int, dtype: torch.dtype, device: str) -> None:
        self.rows = rows
        self._dtype, self._device = dtype, device
        self.tensors: dict[str, torch.Tensor] = {}

    def add(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Zeros ``[rows, *shape]``."""
        self.tensors[name] = torch.zeros(self.rows, *shape, dtype=dtype or self._dtype, device=self._device)
        return self.tensors[name]

    def reset(self, row: int) -> None:
        for tensor in self.tensors.values():
            tensor[row] = 0

    def take_row(self, row: int) -> dict[str, torch.Tensor]:
        return {name: tensor[row].clone() for name, tensor in self.tensors.items()}

    def put_row(self, row: int, kept: dict[str, torch.Tensor]) -> None:
        for name, tensor in self.tensors.items():
            tensor[row] = kept[name].to(tensor.device)


def _keep(store: torch.Tensor, fresh: torch.Tensor, active: torch.Tensor) -> None:
    """``store [rows, ...]`` takes ``fresh`` where ``active [rows]``."""
    store.copy_(torch.where(active.view(-1, *[1] * (store.dim() - 1)), fresh, store))


class _Conv:
    """A causal convolution that remembers the end of its input."""

    def __init__(self, conv: Conv, tensors: Tensors, state: State, *, bias: bool = True, first_repeats: bool = False):
        self._weight = tensors[f"{conv.name}.weight"]
        self._bias = tensors[f"{conv.name}.bias"] if bias else None
        self._stride, self._dilation, self._elu = conv.stride, conv.dilation, conv.elu
        past = (conv.kernel - 1) * conv.dilation + 1 - conv.stride
        self._past = state.add(f"{conv.name}.past", conv.inputs, past) if past else None
        self._begun = state.add(f"{conv.name}.begun", dtype=torch.bool) if first_repeats else None
        """The first input is repeated into the past, where silence would be wrong."""

    def step(self, x: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
        """``x [rows, inputs, t * stride]`` to ``[rows, outputs, t]``."""
        if self._elu:
            x = functional.elu(x)
        if self._past is not None:
            past = self._past
            if self._begun is not None:
                past = torch.where(self._begun[:, None, None], past, x[..., :1])
                self._begun |= active
            x = torch.cat((past, x), dim=-1)
            _keep(self._past, x[..., x.shape[-1] - self._past.shape[-1] :], active)
        return functional.conv1d(x, self._weight, self._bias, stride=self._stride, dilation=self._dilation)


class _Transposed:
    """A transposed convolution that remembers what reaches into its next output."""

    def __init__(self, conv: Conv, tensors: Tensors, state: State, *, bias: bool = True, groups: int = 1) -> None:
        self._weight = tensors[f"{conv.name}.weight"]
        self._bias = tensors[f"{conv.name}.bias"] if bias else None
        self._stride, self._groups, self._elu = conv.stride, groups, conv.elu
        self._rest = state.add(f"{conv.name}.rest", conv.outputs, conv.kernel - conv.stride)

    def step(self, x: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
        """``x [rows, inputs, t]`` to ``[rows, outputs, t * stride]``."""
        if self._elu:
            x = functional.elu(x)
        y = functional.conv_transpose1d(x, self._weight, stride=self._stride, groups=self._groups)
        over = self._rest.shape[-1]
        y[..., :over] += self._rest
        _keep(self._rest, y[..., y.shape[-1] - over :], active)
        y = y[..., : y.shape[-1] - over]
        return y if self._bias is None else y + self._bias[:, None]


class _Residual:
    def __init__(self, block: Block, tensors: Tensors, state: State) -> None:
        self._convs = [_Conv(conv, tensors, state) for conv in block.convs]

    def step(self, x: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
        y = x
        for conv in self._convs:
            y = conv.step(y, active)
        return x + y


def _net(parts: list[Conv | Block], tensors: Tensors, state: State) -> list[_Conv | _Transposed | _Residual]:
    built: list[_Conv | _Transposed | _Residual] = []
    for part in parts:
        if isinstance(part, Block):
            built.append(_Residual(part, tensors, state))
        else:
            built.append((_Transposed if part.transposed else _Conv)(part, tensors, state))
    return built


class _Layers:
    """A small causal transformer over ``stride`` steps per frame, with a ring of ``context`` per row."""

    def __init__(self, config: MimiConfig, prefix: str, tensors: Tensors, state: State, device: str) -> None:
        self._config, self._names = config, [f"{prefix}.transformer.layers.{i}" for i in range(config.layers)]
        self._tensors = tensors
        head_dim = config.dimension // config.heads
        shape = (config.layers, 2, config.heads, config.context, head_dim)
        self._memory = state.add(f"{prefix}.memory", *shape)
        self._positions = state.add(f"{prefix}.positions", dtype=torch.int64)
        self._frequencies = rope_frequencies(head_dim, config.max_period, device)
        self._places = torch.arange(config.context, device=device)
        self._fused_in = [_projection(tensors, name, "in") for name in self._names]
        self._fused_out = [_projection(tensors, name, "out") for name in self._names]

    def step(self, x: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
        """``x [rows, dimension, t]`` to the same."""
        config, tensors = self._config, self._tensors
        x = x.transpose(1, 2)
        t = x.shape[1]
        at = self._positions[:, None] + torch.arange(t, device=x.device)
        cosine, sine = (turn[:, None] for turn in rope_turns(at, self._frequencies))
        places, near = at % config.context, self._near(at)
        for number, name in enumerate(self._names):
            normed = _layer_norm(x, tensors, f"{name}.norm1")
            projected = functional.linear(normed, self._fused_in[number])
            query, key, value = projected.unflatten(-1, (3, config.heads, -1)).permute(2, 0, 3, 1, 4)
            keys = self._remember(number, 0, places, rope(key, cosine, sine), active)
            values = self._remember(number, 1, places, value, active)
            heard = functional.scaled_dot_product_attention(
                rope(query, cosine, sine), keys, values, attn_mask=near[:, None]
            )
            update = functional.linear(heard.transpose(1, 2).flatten(2), self._fused_out[number])
            x = x + tensors[f"{name}.layer_scale_1.scale"] * update
            normed = _layer_norm(x, tensors, f"{name}.norm2")
            inner = functional.gelu(functional.linear(normed, tensors[f"{name}.linear1.weight"]))
            update = functional.linear(inner, tensors[f"{name}.linear2.weight"])
            x = x + tensors[f"{name}.layer_scale_2.scale"] * update
        self._positions += t * active
        return x.transpose(1, 2)

    def _near(self, at: torch.Tensor) -> torch.Tensor:
        """``[rows, t, context]``: places of the ring that each of the new steps ``at [rows, t]`` hears."""
        last = at[:, -1:]
        behind = (last - self._places) % self._config.context
        position = (last - behind)[:, None]
        return (position >= 0) & (position <= at[..., None])

    def _remember(
        self, layer: int, which: int, places: torch.Tensor, fresh: torch.Tensor, active: torch.Tensor
    ) -> torch.Tensor:
        """``fresh [rows, heads, t, d]`` into the ring; the ring with it. A masked row's ring stays as it is."""
        ring = self._memory[:, layer, which]
        at = places[:, None, :, None].expand_as(fresh)
        ring.scatter_(2, at, torch.where(active[:, None, None, None], fresh, ring.gather(2, at)))
        return ring


def _projection(tensors: Tensors, name: str, way: str) -> torch.Tensor:
    return tensors[f"{name}.self_attn.{way}_projs.0.weight"]


def _layer_norm(x: torch.Tensor, tensors: Tensors, name: str) -> torch.Tensor:
    weight = tensors[f"{name}.weight"]
    return functional.layer_norm(x, weight.shape, weight, tensors[f"{name}.bias"], LAYER_NORM_EPSILON)


class Encoder:
    """Audio of a frame to its codes."""

    def __init__(self, config: MimiConfig, tensors: Tensors, *, rows: int, codebooks: int, device: str) -> None:
        dtype = tensors["downsample.conv.conv.conv.weight"].dtype
        self.state = State(rows, dtype, device)
        self._dtype = dtype
        self._net = _net(encoder_net(config), tensors, self.state)
        self._layers = _Layers(config, "encoder_transformer", tensors, self.state, device)
        stride, width = config.stride, config.dimension
        down = Conv("downsample.conv.conv.conv", width, width, 2 * stride, stride, elu=False)
        self._down = _Conv(down, tensors, self.state, bias=False, first_repeats=True)
        self._first, self._rest = _Books(tensors, "rvq_first", 1), _Books(tensors, "rvq_rest", codebooks - 1)

    def step(self, audio: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
        """``audio [rows, frame_samples]`` in -1 to 1, to codes ``[rows, codebooks]``."""
        x = audio[:, None].to(self._dtype)
        for part in self._net:
            x = part.step(x, active)
        latent = self._down.step(self._layers.step(x, active), active)[..., 0]
        return torch.cat((self._first.nearest(latent), self._rest.nearest(latent)), dim=1)


class _Books:
    """Residual codebooks behind one projection."""

    def __init__(self, tensors: Tensors, name: str, count: int) -> None:
        self._into = tensors[f"quantizer.{name}.input_proj.weight"][..., 0]
        self.books = [_vectors(tensors, f"quantizer.{name}.vq.layers.{i}._codebook") for i in range(count)]
        self._halves = [book.square().sum(1) / 2 for book in self.books]
        self.out = tensors[f"quantizer.{name}.output_proj.weight"][..., 0]

    def nearest(self, latent: torch.Tensor) -> torch.Tensor:
        """``latent [rows, dimension]`` to codes ``[rows, count]``: each book takes what the one before left."""
        rest = functional.linear(latent, self._into)
        codes = []
        for book, half in zip(self.books, self._halves, strict=True):
            code = (functional.linear(rest, book) - half).argmax(-1)  # the nearest, without the square of ``rest``
            rest = rest - functional.embedding(code, book)
            codes.append(code)
        return torch.stack(codes, dim=1) if codes else latent.new_zeros((len(latent), 0), dtype=torch.int64)


def _vectors(tensors: Tensors, prefix: str) -> torch.Tensor:
    usage = tensors[f"{prefix}.cluster_usage"].clamp_min(LEAST_USAGE)
    return tensors[f"{prefix}.embedding_sum"] / usage[:, None]


class Decoder:
    """Codes of a frame to its audio."""

    def __init__(self, config: MimiConfig, tensors: Tensors, *, rows: int, codebooks: int, device: str) -> None:
        dtype = tensors["downsample.conv.conv.conv.weight"].dtype
        self.state = State(rows, dtype, device)
        books = [_Books(tensors, "rvq_first", 1), _Books(tensors, "rvq_rest", codebooks - 1)]
        self._table = torch.cat([functional.linear(book, part.out) for part in books for book in part.books])
        """``[codebooks * bins, dimension]``: codes already projected, so that decoding is one sum of look-ups."""
        self._first_code = torch.arange(codebooks, device=device) * config.bins
        stride, width = config.stride, config.dimension
        up = Conv("upsample.convtr.convtr.convtr", width, width, 2 * stride, stride, transposed=True, elu=False)
        self._up = _Transposed(up, tensors, self.state, bias=False, groups=width)
        self._layers = _Layers(config, "decoder_transformer", tensors, self.state, device)
        self._net = _net(decoder_net(config), tensors, self.state)

    def step(self, codes: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
        """``codes [rows, codebooks]`` to ``[rows, frame_samples]``; rows that are not active give nothing of worth."""
        x = functional.embedding(codes.clamp_min(0) + self._first_code, self._table).sum(1)[..., None]
        x = self._layers.step(self._up.step(x, active), active)
        for part in self._net:
            x = part.step(x, active)
        return x[:, 0]
