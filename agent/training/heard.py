"""Turns and events of a shard, with what a net says of each frame. No torch.

``Scores``: probabilities ``[n, frames, outputs]`` by head.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.training.conversation.labels import FRAME, NOT_ASKED, Overlap
from agent.training.curves import BACKSTOP_MS, FRAME_MS, EventScores, TurnScores
from agent.training.shard import Shard

AFTER: Final = BACKSTOP_MS // FRAME_MS
EVENT_AFTER: Final = 8
PAUSE_FRAMES: Final = 5
WE_GO_ON: Final = 1000 // FRAME_MS
Scores = dict[str, NDArray[np.float32]]


def turns_of(shard: Shard, found: Scores) -> Iterator[TurnScores]:
    """Finished turns after which there is time to see their end."""
    for item, meta in enumerate(shard.meta):
        for turn in meta["turns"]:
            start, end = turn["start"] // FRAME, -(-turn["end"] // FRAME)
            until = min(end + AFTER, (turn["answered"] or 1 << 30) // FRAME, shard["speech"].shape[1])
            if not turn["finished"] or turn["takes"] or until < end + AFTER:
                continue
            pauses = tuple((b - a) // FRAME for a, b in turn["pauses"])
            yield TurnScores(
                found["end"][item, start:until, 0],
                found["speech"][item, start:until, 0],
                end - start,
                turn["state"],
                tuple(pause for pause in pauses if pause >= PAUSE_FRAMES),
                turn["voice"].startswith("human:"),
                turn["voice"],
            )


def events_of(shard: Shard, found: Scores) -> Iterator[EventScores]:
    """Sounds over our voice: those after whose onset we speak for a second more, or until they are over."""
    for item, meta in enumerate(shard.meta):
        floor = shard["overlap"][item] != NOT_ASKED
        for event in meta["events"]:
            start = event["start"] // FRAME
            stop = min(event["end"] // FRAME + EVENT_AFTER, floor.size)
            if start + 6 >= floor.size or not floor[max(0, start - 2)] or not floor[start + 4]:
                continue
            kept = floor[start:stop].copy()
            kept[:4] = True
            length = int(np.argmin(kept)) if not kept.all() else kept.size
            if length < min(kept.size, WE_GO_ON):
                continue  # we had finished: there was nothing to give way with
            overlap = found["overlap"][item, start : start + length]
            leaves = overlap[:, [Overlap.SIDE, Overlap.NOISE, Overlap.ECHO]].sum(axis=1)
            spoken = found["speech"][item, start : start + length, 0]
            yield EventScores(overlap[:, Overlap.TAKES], spoken, event["kind"], leaves, event["text"])
