"""Batches of conversations from shards, in an order that a seed decides and a counter remembers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.training.errors import TrainingError
from agent.training.shard import Shard, read

INPUTS: Final = ("mel_caller", "mel_own", "expect")
LABELS: Final = ("speech", "own", "end", "soon", "overlap", "fits", "sound", "truth")
NAMES: Final = (*INPUTS, *LABELS)
OPEN_SHARDS: Final = 12
GAIN_DB: Final = 6.0
STEP_DB: Final = 0.375
MASKED_BANDS: Final = 6
"""One stretch of up to so many bands is silenced in half of the conversations."""
Batch = dict[str, NDArray[Any]]


class Dataset:
    """All conversations of some shards; batch ``k`` of a seed is always the same."""

    def __init__(self, shards: Sequence[Path], *, batch: int, seed: int, augment: bool = True) -> None:
        self._paths, self._batch, self._seed, self._augment = list(shards), batch, seed, augment
        self._open: OrderedDict[int, Shard] = OrderedDict()
        self._sizes = [len(self._shard(index)) for index in range(len(self._paths))]
        self._order: tuple[int, list[tuple[int, int]]] = (-1, [])
        if sum(self._sizes) < batch:
            raise TrainingError(f"{sum(self._sizes)} conversations are fewer than one batch of {batch}")

    @property
    def conversations(self) -> int:
        return sum(self._sizes)

    def batch(self, number: int) -> Batch:
        """Batch ``number``, counted from 0 over all passes."""
        each = self.conversations // self._batch
        epoch, place = divmod(number, each)
        if self._order[0] != epoch:
            self._order = (epoch, self._shuffled(epoch))
        chosen = self._order[1][place * self._batch : (place + 1) * self._batch]
        rows = [self._one(shard, item) for shard, item in chosen]
        found = {name: np.stack([row[name] for row in rows]) for name in NAMES}
        return augmented(found, np.random.default_rng([self._seed, 1, number])) if self._augment else found

    def _one(self, shard: int, item: int) -> Batch:
        found = self._shard(shard)
        return {name: found[name][item] for name in NAMES}

    def _shard(self, index: int) -> Shard:
        if index not in self._open:
            self._open[index] = read(self._paths[index])
            while len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)
        self._open.move_to_end(index)
        return self._open[index]

    def _shuffled(self, epoch: int) -> list[tuple[int, int]]:
        """All conversations, mixed over a window of shards that fit into memory."""
        rng = np.random.default_rng([self._seed, 0, epoch])
        shards = rng.permutation(len(self._paths)).tolist()
        order: list[tuple[int, int]] = []
        for start in range(0, len(shards), OPEN_SHARDS):
            window = [
                (shard, item) for shard in shards[start : start + OPEN_SHARDS] for item in range(self._sizes[shard])
            ]
            order += [window[place] for place in rng.permutation(len(window))]
        return order


def augmented(batch: Batch, rng: np.random.Generator) -> Batch:
    """The same calls, louder or softer and with a few bands gone; labels stay."""
    out = dict(batch)
    rows = len(batch["speech"])
    for name in ("mel_caller", "mel_own"):
        shift = np.rint(rng.uniform(-GAIN_DB, GAIN_DB, (rows, 1, 1)) / STEP_DB)
        codes = batch[name].astype(np.int16)
        out[name] = np.where(codes > 0, np.clip(codes + shift, 0, 255), 0).astype(np.uint8)
    for row in range(rows):
        if rng.random() < 0.5:
            width = int(rng.integers(1, MASKED_BANDS + 1))
            first = int(rng.integers(0, out["mel_caller"].shape[2] - width + 1))
            out["mel_caller"][row, :, first : first + width] = 0
    return out
