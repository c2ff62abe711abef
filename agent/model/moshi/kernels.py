"""Triton kernels for ``Ops``: one launch each, and attention that reads each row's own length.

Attention is split over the ring (flash-decoding): one program per row, head and ``CHUNK`` slots, then one that joins
the parts. A program beyond its row's length ends at once, so a young call costs what it has used.
"""

from __future__ import annotations

from typing import Any, Final

import torch
import triton
import triton.language as tl

from agent.model.moshi.kv import FP8_MOST, KvRing
from agent.model.moshi.layers import RMS_EPSILON
from agent.model.moshi.sampling import STEP

FEW_ROWS: Final = 4
CHUNK: Final = 512
"""Slots of one program; half as many where few rows would leave the card idle."""
BLOCK: Final = 64
BLOCK_FP8: Final = 128
"""Slots that it reads at a time."""
STAGES: Final = 3
"""Blocks on their way. On an H200 64 full rows take 0.72 ms a layer (4.35 TB/s); 1.01 ms without matrix products."""


def _add_norm(
    x, update, alpha, summed, normed, width, epsilon,
    ADD: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK_D)
    inside = at < width
    value = tl.load(x + row * width + at, mask=inside, other=0.0)
    wide = value.to(tl.float32)
    if ADD:
        wide += tl.load(update + row * width + at, mask=inside, other=0.0).to(tl.float32)
        wide = wide.to(value.dtype).to(tl.float32)  # the norm is of the sum as it is stored
        tl.store(summed + row * width + at, wide.to(value.dtype), mask=inside)
    scale = tl.rsqrt(tl.sum(wide * wide, 0) / width + epsilon)
    out = wide * scale * tl.load(alpha + at, mask=inside, other=0.0)
    tl.store(normed + row * width + at, out.to(value.dtype), mask=inside)


def _gate(
    both, out, width,
    BLOCK_H: tl.constexpr,
):  # fmt: skip
    row, at = tl.program_id(0), tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    inside = at < width
    gate = tl.load(both + row * 2 * width + at, mask=inside, other=0.0)
    value = tl.load(both + row * 2 * width + width + at, mask=inside, other=0.0)
    wide = gate.to(tl.float32)
    opened = (wide * tl.sigmoid(wide)).to(gate.dtype).to(tl.float32)
    tl.store(out + row * width + at, (opened * value.to(tl.float32)).to(gate.dtype), mask=inside)


def _turn_and_write(
    projected, cosine, sine, slots, query, keys, values, key_scales,
    value_scales, total,
    H: tl.constexpr, D: tl.constexpr, FP8: tl.constexpr, MOST: tl.constexpr,
):  # fmt: skip
    row, head = tl.program_id(0), tl.program_id(1)
    half = tl.arange(0, D // 2)
    c = tl.load(cosine + row * (D // 2) + half)
    s = tl.load(sine + row * (D // 2) + half)
    slot = tl.load(slots + row)
    source = projected + row * 3 * H * D + head * D
    target = (head * total + slot) * D
    q_real = tl.load(source + 2 * half)
    q_imaginary = tl.load(source + 2 * half + 1)
    kind = q_real.dtype
    q_r, q_i = q_real.to(tl.float32), q_imaginary.to(tl.float32)
    tl.store(query + (row * H + head) * D + 2 * half, (q_r * c - q_i * s).to(kind))
    tl.store(query + (row * H + head) * D + 2 * half + 1, (q_r * s + q_i * c).to(kind))
    k_r = tl.load(source + H * D + 2 * half).to(tl.float32)
    k_i = tl.load(source + H * D + 2 * half + 1).to(tl.float32)
    real, imaginary = (k_r * c - k_i * s).to(kind), (k_r * s + k_i * c).to(kind)
    v_a = tl.load(source + 2 * H * D + 2 * half)
    v_b = tl.load(source + 2 * H * D + 2 * half + 1)
    if FP8:
        r, i, a, b = real.to(tl.float32), imaginary.to(tl.float32), v_a.to(tl.float32), v_b.to(tl.float32)
        k_scale = tl.maximum(tl.maximum(tl.max(tl.abs(r), 0), tl.max(tl.abs(i), 0)), 1e-12) / MOST
        v_scale = tl.maximum(tl.maximum(tl.max(tl.abs(a), 0), tl.max(tl.abs(b), 0)), 1e-12) / MOST
        tl.store(key_scales + head * total + slot, k_scale)
        tl.store(value_scales + head * total + slot, v_scale)
        real, imaginary = (r / k_scale).to(tl.float8e4nv), (i / k_scale).to(tl.float8e4nv)
        v_a, v_b = (a / v_scale).to(tl.float8e4nv), (b / v_scale).to(tl.float8e4nv)
    tl.store(keys + target + 2 * half, real)
    tl.store(keys + target + 2 * half + 1, imaginary)
    tl.store(values + target + 2 * half, v_a)
    tl.store(values + target + 2 * half + 1, v_b)


def _attend_part(
    query, keys, values, key_scales, value_scales, base, lengths, parts, tops, sums, total, scale,
    H: tl.constexpr, D: tl.constexpr, CHUNK_N: tl.constexpr, BLOCK_N: tl.constexpr, FP8: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    one, split = tl.program_id(0), tl.program_id(1)
    row, head = one // H, one % H
    length = tl.load(lengths + row).to(tl.int32)
    first = split * CHUNK_N
    out = one * tl.num_programs(1) + split
    if first >= length:
        tl.store(tops + out, float("-inf"))
        tl.store(sums + out, 0.0)
        return
    d, lane = tl.arange(0, D), tl.arange(0, 16)
    q = tl.load(query + one * D + d)
    kind = q.dtype
    alone = tl.where(lane[:, None] == 0, q.to(tl.float32)[None, :], 0.0)  # a matrix unit takes no fewer than 16
    q = alone.to(kind)
    begin = head.to(tl.int64) * total + tl.load(base + row)
    last = tl.minimum(first + CHUNK_N, length)
    top = tl.full((16,), float("-inf"), tl.float32)
    weight = tl.zeros((16,), tl.float32)
    heard = tl.zeros((16, D), tl.float32)
    for at in tl.range(first, last, BLOCK_N, num_stages=STAGES):
        place = at + tl.arange(0, BLOCK_N)
        inside = place < last
        offsets = (begin + place)[:, None] * D + d[None, :]
        k = tl.load(keys + offsets, mask=inside[:, None], other=0.0).to(kind)
        score = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        if FP8:
            score = score * tl.load(key_scales + begin + place, mask=inside, other=0.0)[None, :]
        score = tl.where(inside[None, :], score, float("-inf"))
        higher = tl.maximum(top, tl.max(score, 1))
        share = tl.exp(score - higher[:, None])
        fade = tl.exp(top - higher)
        weight = weight * fade + tl.sum(share, 1)
        v = tl.load(values + offsets, mask=inside[:, None], other=0.0).to(kind)
        if FP8:
            share = share * tl.load(value_scales + begin + place, mask=inside, other=0.0)[None, :]
        heard = heard * fade[:, None] + tl.dot(share.to(kind), v, input_precision="ieee")
        top = higher
    is_ours = lane == 0
    tl.store(parts + out * D + d, tl.sum(tl.where(is_ours[:, None], heard, 0.0), 0))
    tl.store(tops + out, tl.max(tl.where(is_ours, top, float("-inf")), 0))
    tl.store(sums + out, tl.sum(tl.where(is_ours, weight, 0.0), 0))


def _attend_join(
    parts, tops, sums, out, splits,
    D: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    one = tl.program_id(0)
    split, d = tl.arange(0, SPLITS), tl.arange(0, D)
    inside = split < splits
    top = tl.load(tops + one * splits + split, mask=inside, other=float("-inf"))
    share = tl.exp(top - tl.max(top, 0))
    used = inside & (top != float("-inf"))
    part = tl.load(parts + (one * splits + split)[:, None] * D + d[None, :], mask=used[:, None], other=0.0)
    weight = tl.sum(share * tl.load(sums + one * splits + split, mask=inside, other=0.0), 0)
    heard = tl.sum(share[:, None] * part, 0) / weight
    tl.store(out + one * D + d, heard.to(out.dtype.element_ty))


def _draw(
    values, tokens, seeds, positions, out, stream_key, count, temperature,
    COUNT: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    at = tl.arange(0, COUNT)
    inside = at < count
    seed = tl.load(seeds + row)
    key = _mix(seed.to(tl.uint32) ^ 0x9E3779B9)
    key = _mix(key ^ (seed >> 32).to(tl.uint32))
    key = _mix(key ^ tl.load(positions + row).to(tl.uint32))
    key = _mix(key ^ stream_key.to(tl.uint32))
    token = tl.load(tokens + row * count + at, mask=inside, other=0)
    mixed = _mix(key ^ _mix(token.to(tl.uint32) * 0x9E3779B9))
    even = ((mixed >> 8).to(tl.float32) + 0.5) * 5.9604644775390625e-08
    value = tl.load(values + row * count + at, mask=inside, other=0.0)
    score = tl.where(inside, value / temperature - tl.log(-tl.log(even)), float("-inf"))
    best = tl.argmax(score, 0)
    tl.store(out + row, tl.sum(tl.where(at == best, token, 0), 0))


@triton.jit
def _mix(x):
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


_ADD_NORM: Any = triton.jit(_add_norm)
_GATE: Any = triton.jit(_gate)
_TURN: Any = triton.jit(_turn_and_write)
_PART: Any = triton.jit(_attend_part)
_JOIN: Any = triton.jit(_attend_join)
_DRAW: Any = triton.jit(_draw)


class TritonOps:
    """See ``ops.Ops``. ``rows`` and the longest window are fixed, so that a graph can hold every launch."""

    def add_norm(self, x: torch.Tensor, update: torch.Tensor, alpha: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        summed, normed = torch.empty_like(x), torch.empty_like(x)
        width = x.shape[1]
        block = triton.next_power_of_2(width)
        _ADD_NORM[(len(x),)](x, update, alpha, summed, normed, width, RMS_EPSILON, ADD=True, BLOCK_D=block, num_warps=8)
        return summed, normed

    def norm(self, x: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        normed = torch.empty_like(x)
        width = x.shape[1]
        block = triton.next_power_of_2(width)
        _ADD_NORM[(len(x),)](x, x, alpha, x, normed, width, RMS_EPSILON, ADD=False, BLOCK_D=block, num_warps=8)
        return normed

    def gate(self, both: torch.Tensor) -> torch.Tensor:
        rows, width = len(both), both.shape[1] // 2
        out = torch.empty((rows, width), dtype=both.dtype, device=both.device)
        _GATE[(rows, triton.cdiv(width, 1024))](both, out, width, BLOCK_H=1024)
        return out

    def turn_and_write(
        self,
        projected: torch.Tensor,
        cosine: torch.Tensor,
        sine: torch.Tensor,
        ring: KvRing,
        layer: int,
        slots: torch.Tensor,
    ) -> torch.Tensor:
        rows = len(projected)
        query = torch.empty((rows, ring.heads, ring.head_dim), dtype=projected.dtype, device=projected.device)
        keys, values, key_scales, value_scales = ring.layer(layer)
        _TURN[(rows, ring.heads)](
            projected, cosine, sine, slots, query, keys, values, key_scales, value_scales, keys.shape[1],
            H=ring.heads, D=ring.head_dim, FP8=ring.fp8, MOST=FP8_MOST, num_warps=1,
        )  # fmt: skip
        return query

    def attend(
        self, query: torch.Tensor, ring: KvRing, layer: int, lengths: torch.Tensor, longest: int
    ) -> torch.Tensor:
        rows, heads, head_dim = query.shape
        chunk = CHUNK // 2 if rows <= FEW_ROWS else CHUNK
        splits = triton.cdiv(int(ring.windows.max()), chunk)
        wide = {"dtype": torch.float32, "device": query.device}
        parts = torch.empty((rows, heads, splits, head_dim), **wide)
        tops, sums = torch.empty((rows, heads, splits), **wide), torch.empty((rows, heads, splits), **wide)
        keys, values, key_scales, value_scales = ring.layer(layer)
        _PART[(rows * heads, splits)](
            query, keys, values, key_scales, value_scales, ring.base, lengths, parts, tops, sums, keys.shape[1],
            head_dim**-0.5, H=heads, D=head_dim, CHUNK_N=chunk, BLOCK_N=BLOCK_FP8 if ring.fp8 else BLOCK, FP8=ring.fp8,
            STAGES=STAGES, num_warps=4,
        )  # fmt: skip
        out = torch.empty_like(query)
        _JOIN[(rows * heads,)](
            parts, tops, sums, out, splits, D=head_dim, SPLITS=triton.next_power_of_2(splits), num_warps=1
        )
        return out

    def draw(
        self,
        values: torch.Tensor,
        tokens: torch.Tensor,
        seeds: torch.Tensor,
        positions: torch.Tensor,
        stream: int,
        temperature: float,
    ) -> torch.Tensor:
        rows, count = values.shape
        out = torch.empty(rows, dtype=torch.int64, device=values.device)
        stream_key = ((stream + 1) * STEP) & 0xFFFFFFFF
        _DRAW[(rows,)](
            values, tokens, seeds, positions, out, stream_key, count, temperature,
            COUNT=triton.next_power_of_2(count), num_warps=4,
        )  # fmt: skip
        return out
