"""A second judge of the same audio, beside levels, voice activity and words: what the ears ask it, step by step."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.expectation import Expect
from agent.model.parts.levels import Floats
from agent.model.parts.rowstate import Saved


class Opinion(Protocol):
    """State of all rows. Arrays ``[R]`` are in the order of ``rows``."""

    def reset(self, rows: NDArray[np.intp]) -> None: ...

    def save(self, row: int) -> Saved: ...

    def load(self, row: int, saved: Saved) -> None: ...

    def expect(self, row: int, expect: Expect) -> None:
        """What the brain waits for on ``row`` from now on."""
        ...

    def hear(self, pcm: NDArray[np.int16], own: NDArray[np.int16], rows: NDArray[np.intp]) -> None:
        """One step: pcm, own ``[R, 160]``."""
        ...

    def voice(self, rows: NDArray[np.intp]) -> Floats | None:
        """``[R]`` probability that the caller's voice is on the line, in place of voice activity's; None: ask that."""
        ...

    def speech(self, rows: NDArray[np.intp], p_speech: Floats) -> Floats:
        """``[R]`` the caller speaks, given what levels and voice activity say."""
        ...

    def ends_soon(self, rows: NDArray[np.intp], sense: NDArray[np.int64]) -> NDArray[np.bool_]:
        """``[R]`` the turn is likely to end in this silence, given the words' ``Sense``: the recogniser may finish."""
        ...

    def ends(
        self, rows: NDArray[np.intp], ends: Floats, sense: NDArray[np.int64], silence_ms: NDArray[np.int64]
    ) -> Floats:
        """``[R]`` the turn is over (0.5: just so), given what the words say: ``ends``, and their ``Sense``."""
        ...

    def overlap(
        self, rows: NDArray[np.intp], takes: Floats, leaves: Floats, over_ms: NDArray[np.int64]
    ) -> tuple[Floats, Floats]:
        """``[R]`` an overlap takes the floor, and leaves it, given what the words say and ``over_ms`` of speech."""
        ...
