"""Our own audio as it was played: kept from the time it is handed out until the gateway says that it was played."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from telephony.link import FRAME_SAMPLES

RING: Final = 16
"""Frames handed out that are kept per row."""

Bools = NDArray[np.bool_]
Rows = NDArray[np.intp]
Samples = NDArray[np.int16]
FrameNumbers = NDArray[np.uint32]


class PlayedAudio:
    """The last frames handed out of every row, and which of them was played last."""

    def __init__(self, rows: int) -> None:
        self._pcm = np.zeros((rows, RING, FRAME_SAMPLES), np.int16)
        self._speech = np.zeros((rows, RING), np.bool_)
        self._played = np.zeros(rows, np.uint32)
        self.last = np.zeros((rows, FRAME_SAMPLES), np.int16)
        """``[rows, 160]`` as played in each row's last frame."""

    def forget(self, row: int) -> None:
        """Another call sits on this row: nothing of it was played."""
        self._played[row] = 0
        self._speech[row] = False

    def keep(self, rows: Rows, numbers: FrameNumbers, pcm: Samples, speech: Bools) -> None:
        """Frames ``[n, 160]`` that were handed out under these numbers, and whether each is speech."""
        self._pcm[rows, numbers % RING] = pcm
        self._speech[rows, numbers % RING] = speech

    def since(self, rows: Rows, played: FrameNumbers) -> tuple[Samples, Bools]:
        """What was played since the last frame: ``[n, 160]``, and whether it was speech.

        ``played``: frames of each row that its gateway has played so far.
        """
        moved = played > self._played[rows]
        latest = (played.astype(np.int64) - 1) % RING
        own = self._pcm[rows, latest]
        own[~moved] = 0
        speaking = self._speech[rows, latest] & moved
        self._played[rows] = played
        self.last[rows] = own
        return own, speaking
