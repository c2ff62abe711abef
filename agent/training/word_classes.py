"""Which word ends about now, frame by frame: labels for the word net from the words of a shard. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.training.shard import Shard
from agent.training.text.vocabulary import NONE, OTHER, classes

PER_FRAME: Final = 4
"""Feature frames (10 ms) in one frame of the net (40 ms)."""
SHOWN_FROM: Final = 0.55
"""A word is the label from here to one frame past its end (small_model.md 9): equal neighbours stay apart."""


def word_classes(shard: Shard) -> NDArray[np.uint16]:
    """``[n, frames]``; estimated times are used as they are: they err by 50 ms."""
    table = classes()
    found = np.full(shard["speech"].shape, NONE, np.uint16)
    known = [table.get(word, OTHER) for word in shard.vocabulary]
    columns = (shard[name].tolist() for name in ("word_item", "word", "word_start", "word_end"))
    for item, word, start, end in zip(*columns, strict=True):
        first = round((start + SHOWN_FROM * (end - start)) / PER_FRAME)
        found[item, first : end // PER_FRAME + 1] = known[word]
    return found
