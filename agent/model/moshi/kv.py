"""Keys and values of the temporal transformer: one ring per row, of a window of its own.

All rings of a layer lie in one tensor ``[heads, slots, head_dim]``: row ``b`` owns ``windows[b]`` slots from
``base[b]`` on, and one scratch slot that masked rows write to. A row's position ``p`` lives at slot ``base + p %
window``, so the window slides by itself; attention reads ``min(p + 1, window)`` slots of it, never the whole ring of
a young call.

``fp8``: e4m3 with one scale per head and slot. Half the bytes; its error is in
docs/explanation/speech_native_models.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

FP8: Final = torch.float8_e4m3fn
FP8_MOST: Final = 448.0


class KvRing:
    """``layers`` rings for ``len(windows)`` rows. Rows of one window lie together."""

    def __init__(
        self,
        *,
        layers: int,
        heads: int,
        head_dim: int,
        windows: Sequence[int],
        dtype: torch.dtype,
        device: str,
        fp8: bool = False,
    ) -> None:
        self.layers, self.heads, self.head_dim = layers, heads, head_dim
        self.windows = np.asarray(windows, np.int64)
        self.bases = np.concatenate(([0], np.cumsum(self.windows)[:-1]))
        self.dtype, self.fp8 = dtype, fp8
        rows, total = len(windows), int(self.windows.sum())
        self.window = torch.as_tensor(self.windows, device=device)
        """``[rows]``"""
        self.base = torch.as_tensor(self.bases, device=device)
        """``[rows]``"""
        self._scratch = torch.arange(total, total + rows, device=device)
        shape = (layers, heads, total + rows, head_dim)
        self.keys = torch.zeros(shape, dtype=FP8 if fp8 else dtype, device=device)
        """``[layers, heads, slots, head_dim]``"""
        self.values = torch.zeros_like(self.keys)
        self.key_scales = torch.zeros(shape[:-1], dtype=torch.float32, device=device) if fp8 else None
        """``[layers, heads, slots]``"""
        self.value_scales = torch.zeros_like(self.key_scales) if self.key_scales is not None else None
        self.classes = _classes(self.windows)
        """``(first row, past the last, window)`` of rows that lie together."""

    def slots(self, positions: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
        """``[rows]``: where each row writes at its position; masked rows at their scratch slot."""
        return torch.where(active, self.base + positions % self.window, self._scratch)

    def lengths(self, positions: torch.Tensor) -> torch.Tensor:
        """``[rows]``: slots that attention reads, the one just written included."""
        return torch.minimum(positions + 1, self.window)

    def write(self, layer: int, slots: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        """``key``, ``value``: ``[rows, heads, head_dim]`` into ``slots`` ``[rows]``."""
        for store, scales, fresh in (
            (self.keys[layer], self.key_scales, key),
            (self.values[layer], self.value_scales, value),
        ):
            fresh = fresh.transpose(0, 1)
            if scales is None:
                store.index_copy_(1, slots, fresh)
                continue
            packed, scale = to_fp8(fresh)
            store.view(torch.uint8).index_copy_(1, slots, packed.view(torch.uint8))
            scales[layer].index_copy_(1, slots, scale)

    def read(self, layer: int, first: int, past: int, window: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values ``[rows, heads, n, head_dim]`` of the rows ``first`` to ``past``, all of one window."""
        start, count = int(self.bases[first]), past - first
        pair = []
        for store, scales in ((self.keys, self.key_scales), (self.values, self.value_scales)):
            part = store[layer, :, start : start + count * window].unflatten(1, (count, window))[:, :, :n]
            if scales is not None:
                scale = scales[layer, :, start : start + count * window].unflatten(1, (count, window))[:, :, :n]
                part = from_fp8(part, scale, self.dtype)
            pair.append(part.transpose(0, 1))
        return pair[0], pair[1]

    def layer(self, layer: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Keys, values and their scales of one layer, for kernels; without fp8 the scales are stand-ins."""
        keys, values = self.keys[layer], self.values[layer]
        if self.key_scales is None or self.value_scales is None:
            return keys, values, keys, values
        return keys, values, self.key_scales[layer], self.value_scales[layer]

    # --- rows in and out -----------------------------------------------------------------------------------

    def row_slots(self, row: int, position: int, keep: int | None = None) -> torch.Tensor:
        """Slots of the last ``keep`` positions before ``position`` of ``row``, oldest first."""
        window = int(self.windows[row])
        count = min(position, window if keep is None else min(keep, window))
        at = np.arange(position - count, position) % window + self.bases[row]
        return torch.as_tensor(at, device=self.keys.device)

    def take_row(self, row: int, position: int) -> dict[str, torch.Tensor]:
        """What ``row`` remembers at ``position``, oldest first: copies ``[layers, heads, n, head_dim]``."""
        slots = self.row_slots(row, position)
        found = {"keys": _select(self.keys, slots), "values": _select(self.values, slots)}
        if self.key_scales is not None and self.value_scales is not None:
            found["key_scales"] = self.key_scales.index_select(2, slots)
            found["value_scales"] = self.value_scales.index_select(2, slots)
        return found

    def put_row(self, row: int, position: int, kept: dict[str, torch.Tensor]) -> None:
        """Inverse of ``take_row``, also into a row of another window: the newest that fit stay."""
        slots = self.row_slots(row, position, keep=kept["keys"].shape[2])
        count = len(slots)
        stores = {"keys": self.keys, "values": self.values}
        if self.key_scales is not None and self.value_scales is not None:
            stores |= {"key_scales": self.key_scales, "value_scales": self.value_scales}
        for name, store in stores.items():
            part = kept[name][:, :, kept[name].shape[2] - count :].to(store.device)
            if store.dtype == FP8:
                store, part = store.view(torch.uint8), part.view(torch.uint8)
            store.index_copy_(2, slots, part)

    def pack(self, keys: torch.Tensor, values: torch.Tensor) -> dict[str, torch.Tensor]:
        """``[layers, heads, n, head_dim]`` computed elsewhere, in the form that ``put_row`` takes."""
        if not self.fp8:
            return {"keys": keys.to(self.dtype), "values": values.to(self.dtype)}
        (k, k_scale), (v, v_scale) = to_fp8(keys), to_fp8(values)
        return {"keys": k, "values": v, "key_scales": k_scale, "value_scales": v_scale}


def to_fp8(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``[..., d]`` to e4m3 and its scales ``[...]`` float32."""
    wide = x.float()
    scale = wide.abs().amax(-1).clamp_min(1e-12) / FP8_MOST
    return (wide / scale[..., None]).to(FP8), scale


def from_fp8(x: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return (x.float() * scale[..., None]).to(dtype)


def _select(store: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    if store.dtype == FP8:
        return store.view(torch.uint8).index_select(2, slots).view(FP8)
    return store.index_select(2, slots)


def _classes(windows: NDArray[np.int64]) -> tuple[tuple[int, int, int], ...]:
    cuts = [0, *(np.flatnonzero(np.diff(windows)) + 1).tolist(), len(windows)]
    return tuple((a, b, int(windows[a])) for a, b in pairwise(cuts))
