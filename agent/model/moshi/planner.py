"""How many rows a device holds: memory arithmetic. Pure, no torch.

Every row's whole window is counted when it is offered: a call can never run out of memory in its middle. Shorter
windows make more rows; classes of both may be mixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from agent.errors import ModelError
from agent.model.moshi.config import LMConfig, MimiConfig, MoshiConfig
from agent.model.moshi.layout import Block, Conv, Wanted, decoder_net, encoder_net, lm_tensors, mimi_tensors

GIB: Final = 2**30
RESERVED_BYTES: Final = 2 * GIB
"""A card's context, libraries' workspaces, graphs."""
RESERVED_CPU_BYTES: Final = GIB // 4
PROMPTS_KEPT: Final = 8
"""Personas whose prompt is kept ready on the device."""
PROMPT_FRAMES: Final = 256
FP8_SCALE_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RowClass:
    """``rows`` calls that each remember ``window`` frames."""

    rows: int
    window: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Bytes on the device."""

    weights: int
    fixed: int
    """Reserved, and prompts kept ready."""
    row: int
    """Of one row, without its window: codec state, activations."""
    frame: int
    """Of one frame of one row's window."""

    def of(self, classes: Iterable[RowClass]) -> int:
        """Everything that these rows need."""
        rows = sum(one.rows * (self.row + one.window * self.frame) for one in classes)
        return self.weights + self.fixed + rows


def costs(
    config: MoshiConfig,
    *,
    item_bytes: int = 2,
    mimi_item_bytes: int = 4,
    fp8_kv: bool = False,
    reserved: int = RESERVED_BYTES,
) -> Costs:
    """``item_bytes``: of the transformers' type. The codec runs in float32."""
    lm = config.lm
    books = max(lm.spoken, lm.heard)
    frame = frame_bytes(lm, item_bytes=item_bytes, fp8_kv=fp8_kv)
    activations = 4 * (4 * lm.text_card + 16 * lm.dim + 6 * lm.hidden + 4 * lm.card)
    return Costs(
        weights=_bytes(lm_tensors(lm), item_bytes) + _bytes(mimi_tensors(config.mimi, books), mimi_item_bytes),
        fixed=reserved + PROMPTS_KEPT * PROMPT_FRAMES * frame,
        row=mimi_row_bytes(config.mimi, mimi_item_bytes) + activations,
        frame=frame,
    )


def frame_bytes(lm: LMConfig, *, item_bytes: int, fp8_kv: bool = False) -> int:
    """Keys and values of one frame of one row."""
    each = lm.head_dim + FP8_SCALE_BYTES if fp8_kv else lm.head_dim * item_bytes
    return 2 * lm.layers * lm.heads * each


def mimi_row_bytes(config: MimiConfig, item_bytes: int) -> int:
    """State of both halves of the codec, and about as much again while a frame passes through."""
    convs = [
        conv
        for net in (encoder_net(config), decoder_net(config))
        for part in net
        for conv in (part.convs if isinstance(part, Block) else (part,))
    ]
    past = sum(_past_items(conv) for conv in convs)
    rings = 2 * config.layers * 2 * config.dimension * config.context
    passing = 4 * config.filters * config.frame_samples
    return item_bytes * (past + rings + 2 * config.dimension * config.stride + passing)


def _past_items(conv: Conv) -> int:
    if conv.transposed:
        return conv.outputs * (conv.kernel - conv.stride)
    return conv.inputs * max(0, (conv.kernel - 1) * conv.dilation + 1 - conv.stride)


def _bytes(tensors: Iterable[Wanted], item_bytes: int) -> int:
    return item_bytes * sum(prod(one.shape) for one in tensors)


def rows_that_fit(cost: Costs, *, free_bytes: int, window: int) -> int:
    """Rows of one window in the memory that is free before anything is loaded."""
    left = free_bytes - cost.weights - cost.fixed
    return max(0, left // (cost.row + window * cost.frame))


def check_plan(config: MoshiConfig, cost: Costs, classes: Sequence[RowClass], *, free_bytes: int) -> tuple[int, ...]:
    """The window of each row, longest first. Raises ``ModelError`` that says how many would fit."""
    for one in classes:
        if not 1 <= one.window <= config.lm.context:
            raise ModelError(f"a window of {one.window} frames: the model takes 1 to {config.lm.context}")
        if one.rows < 1:
            raise ModelError(f"{one.rows} rows of {one.window} frames")
    needed = cost.of(classes)
    if needed > free_bytes:
        longest = max(one.window for one in classes)
        fitting = rows_that_fit(cost, free_bytes=free_bytes, window=longest)
        asked = " and ".join(f"{one.rows} rows of {one.window} frames" for one in classes)
        raise ModelError(
            f"{asked} need {needed / GIB:.1f} GiB, {free_bytes / GIB:.1f} are free: "
            f"{fitting} rows of {longest} frames fit"
        )
    return tuple(sorted((one.window for one in classes for _ in range(one.rows)), reverse=True))


def tick_bytes(
    config: MoshiConfig, lengths: Sequence[int], *, item_bytes: int = 2, mimi_item_bytes: int = 4, fp8_kv: bool = False
) -> int:
    """What one tick must read at least: every weight once, and of each row the frames that it remembers.

    Of the embeddings only the rows that are looked up are read: next to nothing.
    """
    looked_up = ("emb.", "text_emb.", "depformer_emb.", "depformer_text_emb.")
    weights = _bytes((one for one in lm_tensors(config.lm) if not one.name.startswith(looked_up)), item_bytes)
    books = max(config.lm.spoken, config.lm.heard)
    codec = _bytes(mimi_tensors(config.mimi, books), mimi_item_bytes)
    return weights + codec + sum(lengths) * frame_bytes(config.lm, item_bytes=item_bytes, fp8_kv=fp8_kv)
