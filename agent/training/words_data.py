"""Utterances as log-mel codes with what was said, kept in parts. Pure numpy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.training.errors import TrainingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterances:
    """Some utterances; ``codes`` of all one behind the other."""

    codes: NDArray[np.uint8]
    """``[frames, 40]``: clean or as recorded, without silence around."""
    lengths: NDArray[np.int32]
    texts: Sequence[str]
    """Words as said; empty: no words."""
    speakers: Sequence[str]
    kinds: Sequence[str]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def seconds(self) -> float:
        return len(self.codes) / 100

    @property
    def starts(self) -> NDArray[np.int64]:
        """First frame of each."""
        return np.asarray(np.cumsum(self.lengths, dtype=np.int64) - self.lengths, np.int64)


def joined(parts: Iterable[Utterances]) -> Utterances:
    """All of ``parts``. Raises ``TrainingError`` for none."""
    found = list(parts)
    if not found:
        raise TrainingError("there are no utterances")
    return Utterances(
        codes=np.concatenate([part.codes for part in found]),
        lengths=np.concatenate([part.lengths for part in found]),
        texts=[text for part in found for text in part.texts],
        speakers=[name for part in found for name in part.speakers],
        kinds=[kind for part in found for kind in part.kinds],
    )


def write(path: Path, found: Utterances) -> None:
    """Whole or not at all."""
    told = json.dumps({"texts": list(found.texts), "speakers": list(found.speakers), "kinds": list(found.kinds)})
    passing = path.with_suffix(".part")
    with passing.open("wb") as out:
        np.savez(out, codes=found.codes, lengths=found.lengths, told=np.frombuffer(told.encode(), np.uint8))
    os.replace(passing, path)


def read(path: Path) -> Utterances:
    """Inverse of ``write``. Raises ``TrainingError``."""
    try:
        with np.load(path) as held:
            told = json.loads(held["told"].tobytes())
            return Utterances(codes=held["codes"], lengths=held["lengths"], **told)
    except (OSError, KeyError, ValueError, TypeError) as broken:
        raise TrainingError(f"{path}: no utterances of ours: {broken}") from None
