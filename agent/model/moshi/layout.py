"""Names and shapes of every tensor in a checkpoint, in both layouts of the attention weights. No torch.

New files split attention weights by depth step (``in_projs.0.weight``); published ones fuse them
(``in_proj_weight``), the depth transformer's stacked over its steps. ``parts_of`` maps each tensor we need to where
it is in either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.model.moshi.config import LMConfig, MimiConfig

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a tensor is: a whole one, or ``rows`` of a stacked one from ``first`` on."""

    name: str
    shape: Shape
    """Of the tensor in the file; of a stacked one its first side may be longer (steps that are not used)."""
    first: int = 0
    rows: int | None = None

    def fits(self, shape: Shape) -> bool:
        """Whether a tensor of that shape in the file can give this one."""
        if self.rows is None:
            return shape == self.shape
        return shape[1:] == self.shape[1:] and shape[0] % self.rows == 0 and shape[0] >= self.shape[0]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One tensor of the runner and the places that can give it, best first."""

    name: str
    shape: Shape
    sources: tuple[Source, ...]


def lm_tensors(config: LMConfig) -> Iterator[Wanted]:
    """Every tensor of the two transformers that is used; depth steps that only guess the caller are left out."""
    dim, depth = config.dim, config.depth_dim
    for stream in range(config.streams):
        yield _plain(f"emb.{stream}.weight", (config.card + 1, dim))
    yield _plain("text_emb.weight", (config.text_card + 1, dim))
    yield _plain("text_linear.weight", (config.text_card, dim))
    yield _plain("out_norm.alpha", (1, 1, dim))
    for layer in range(config.layers):
        prefix = f"transformer.layers.{layer}"
        yield from _attention(prefix, dim, steps=1)
        yield from _norms(prefix, dim)
        yield _plain(f"{prefix}.gating.linear_in.weight", (2 * config.hidden, dim))
        yield _plain(f"{prefix}.gating.linear_out.weight", (dim, config.hidden))
    yield _plain("depformer_text_emb.weight", (config.text_card + 1, depth))
    for step in range(config.spoken):
        yield _plain(f"depformer_in.{step}.weight", (depth, dim))
        yield _plain(f"linears.{step}.weight", (config.card, depth))
        if step:
            yield _plain(f"depformer_emb.{step - 1}.weight", (config.card + 1, depth))
    for layer in range(config.depth_layers):
        prefix = f"depformer.layers.{layer}"
        yield from _attention(prefix, depth, steps=config.spoken)
        yield from _norms(prefix, depth)
        for step in range(config.spoken):
            yield _plain(f"{prefix}.gating.{step}.linear_in.weight", (2 * config.depth_hidden, depth))
            yield _plain(f"{prefix}.gating.{step}.linear_out.weight", (depth, config.depth_hidden))


def lm_unused(config: LMConfig) -> frozenset[str]:
    """Names that a file may hold beside ``lm_tensors``: the depth steps that are not run."""
    names = set()
    for step in range(config.spoken, config.stored_depth_steps):
        names |= {f"depformer_in.{step}.weight", f"linears.{step}.weight", f"depformer_emb.{step - 1}.weight"}
        for layer in range(config.depth_layers):
            prefix = f"depformer.layers.{layer}"
            names |= {f"{prefix}.gating.{step}.linear_{way}.weight" for way in ("in", "out")}
            names |= {f"{prefix}.self_attn.{way}_projs.{step}.weight" for way in ("in", "out")}
    return frozenset(names)


def _plain(name: str, shape: Shape) -> Wanted:
    return Wanted(name, shape, (Source(name, shape),))


def _norms(prefix: str, dim: int) -> Iterator[Wanted]:
    yield _plain(f"{prefix}.norm1.alpha", (1, 1, dim))
    yield _plain(f"{prefix}.norm2.alpha", (1, 1, dim))


def _attention(prefix: str, dim: int, *, steps: int) -> Iterator[Wanted]:
    """Projections of each used step: split, or a slice of the fused ones."""
    for way, rows, fused in (("in", 3 * dim, ("in_proj_weight", "in_proj.weight")), ("out", dim, ("out_proj.weight",))):
        for step in range(steps):
            name = f"{prefix}.self_attn.{way}_projs.{step}.weight"
            stacked = (Source(f"{prefix}.self_attn.{old}", (steps * rows, dim), step * rows, rows) for old in fused)
            yield Wanted(name, (rows, dim), (Source(name, (rows, dim)), *stacked))


# --- Mimi ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Conv:
    """One convolution of the codec. ``name`` is the prefix of ``weight`` and ``bias``."""

    name: str
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    transposed: bool = False
    elu: bool = True
    """An ELU comes before it."""


@dataclass(frozen=True, slots=True)
class Block:
    """A residual block: its convolutions, added to what went in."""

    convs: tuple[Conv, ...]


def encoder_net(config: MimiConfig) -> list[Conv | Block]:
    """SEANet's encoder, in order. Indices in names count the activations between, as ``nn.Sequential`` does."""
    width = config.filters
    net: list[Conv | Block] = [Conv("encoder.model.0.conv.conv", 1, width, config.kernel, elu=False)]
    at = 1
    for ratio in reversed(config.ratios):
        for layer in range(config.residual_layers):
            net.append(_block(config, f"encoder.model.{at}", width, layer))
            at += 1
        net.append(Conv(f"encoder.model.{at + 1}.conv.conv", width, 2 * width, 2 * ratio, ratio))
        at, width = at + 2, 2 * width
    net.append(Conv(f"encoder.model.{at + 1}.conv.conv", width, config.dimension, config.last_kernel))
    return net


def decoder_net(config: MimiConfig) -> list[Conv | Block]:
    """SEANet's decoder, in order."""
    width = config.filters * 2 ** len(config.ratios)
    net: list[Conv | Block] = [Conv("decoder.model.0.conv.conv", config.dimension, width, config.kernel, elu=False)]
    at = 1
    for ratio in config.ratios:
        name = f"decoder.model.{at + 1}.convtr.convtr"
        net.append(Conv(name, width, width // 2, 2 * ratio, ratio, transposed=True))
        at, width = at + 2, width // 2
        for layer in range(config.residual_layers):
            net.append(_block(config, f"decoder.model.{at}", width, layer))
            at += 1
    net.append(Conv(f"decoder.model.{at + 1}.conv.conv", width, 1, config.last_kernel))
    return net


def _block(config: MimiConfig, name: str, width: int, layer: int) -> Block:
    inner, dilation = width // config.compress, config.dilation_base**layer
    return Block(
        (
            Conv(f"{name}.block.1.conv.conv", width, inner, config.residual_kernel, dilation=dilation),
            Conv(f"{name}.block.3.conv.conv", inner, width, 1),
        )
    )


def mimi_tensors(config: MimiConfig, codebooks: int) -> Iterator[Wanted]:
    """Every tensor of the codec that is used with ``codebooks`` codebooks."""
    for net in (encoder_net(config), decoder_net(config)):
        for part in net:
            for conv in (part,) if isinstance(part, Conv) else part.convs:
                sides = (conv.inputs, conv.outputs) if conv.transposed else (conv.outputs, conv.inputs)
                yield _plain(f"{conv.name}.weight", (*sides, conv.kernel))
                yield _plain(f"{conv.name}.bias", (conv.outputs,))
    for half in ("encoder", "decoder"):
        for layer in range(config.layers):
            yield from _mimi_layer(config, f"{half}_transformer.transformer.layers.{layer}")
    width, kernel = config.dimension, 2 * config.stride
    yield _plain("downsample.conv.conv.conv.weight", (width, width, kernel))
    yield _plain("upsample.convtr.convtr.convtr.weight", (width, 1, kernel))
    for name, books in (("rvq_first", 1), ("rvq_rest", codebooks - 1)):
        yield _plain(f"quantizer.{name}.input_proj.weight", (config.code_dim, width, 1))
        yield _plain(f"quantizer.{name}.output_proj.weight", (width, config.code_dim, 1))
        for book in range(books):
            yield from _codebook(config, f"quantizer.{name}.vq.layers.{book}._codebook")


def mimi_unused(config: MimiConfig, codebooks: int) -> frozenset[str]:
    """Names that a file may hold beside: further codebooks, and training's bookkeeping."""
    names = set()
    for name, used, stored in (("rvq_first", 1, 1), ("rvq_rest", codebooks - 1, config.codebooks - 1)):
        for book in range(stored):
            prefix = f"quantizer.{name}.vq.layers.{book}._codebook"
            names |= {f"{prefix}._initialized", f"{prefix}.inited"}
            if book >= used:
                names |= {f"{prefix}.{part}" for part in _CODEBOOK_NAMES}
    return frozenset(names)


_CODEBOOK_NAMES = ("cluster_usage", "cluster_size", "embedding_sum", "embed_avg", "embed_sum")


def _codebook(config: MimiConfig, prefix: str) -> Iterator[Wanted]:
    usage, sums = (config.bins,), (config.bins, config.code_dim)
    yield Wanted(
        f"{prefix}.cluster_usage",
        usage,
        tuple(Source(f"{prefix}.{name}", usage) for name in ("cluster_usage", "cluster_size")),
    )
    yield Wanted(
        f"{prefix}.embedding_sum",
        sums,
        tuple(Source(f"{prefix}.{name}", sums) for name in ("embedding_sum", "embed_avg", "embed_sum")),
    )


def _mimi_layer(config: MimiConfig, prefix: str) -> Iterator[Wanted]:
    width = config.dimension
    yield from _attention(prefix, width, steps=1)
    for norm in ("norm1", "norm2"):
        yield _plain(f"{prefix}.{norm}.weight", (width,))
        yield _plain(f"{prefix}.{norm}.bias", (width,))
    yield _plain(f"{prefix}.linear1.weight", (config.feed_forward, width))
    yield _plain(f"{prefix}.linear2.weight", (width, config.feed_forward))
    yield _plain(f"{prefix}.layer_scale_1.scale", (width,))
    yield _plain(f"{prefix}.layer_scale_2.scale", (width,))
