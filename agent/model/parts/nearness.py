"""Who speaks far softer over our voice than the caller did before is speaking to somebody else, or is somebody else.

People who interrupt a telephone speak up (Lombard); who turns away from it comes 10 to 20 dB softer. Only a caller who
has spoken in silence has a level to compare with, and nobody is called soft for longer than ``MOST_MS``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.model.parts.levels import LOWEST_DB, Floats
from agent.model.parts.rowstate import RowState

SOFTER_DB: Final = 6.0
LEAST_MS: Final = 140
"""Speech over our voice before it has a level."""
CERTAIN_MS: Final = 300
"""Until then it may be the soft beginning of an interruption: it does not stop us, and we stay turned down."""
KNOWN_MS: Final = 400
"""Speech in silence before the caller has one."""
APART_MS: Final = 400
"""Silence between two sounds over our voice. Words of the first that come late are still words of the first."""
MOST_MS: Final = 2500
"""Who goes on for longer means us."""
SLOW, FAST = 0.02, 0.3
"""Share of the way to a step's level: down, so that a trailing word does not count, and up."""


class Nearness(RowState):
    """Levels of ``rows`` callers, in silence and over our voice."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.voice_db: Floats = self._column("near_voice_db", np.float32, LOWEST_DB)
        """Of the caller's loud syllables while we are silent."""
        self._known_ms = self._column("near_known_ms", np.int64)
        self._over_db: Floats = self._column("near_over_db", np.float32, LOWEST_DB)
        """Of the same over our voice, in this stretch and until the next one."""
        self.over_ms = self._column("near_over_ms", np.int64)
        """Speech over our voice, in the same."""
        self._silence_ms = self._column("near_silence_ms", np.int64)

    def step(
        self,
        level_db: Floats,
        speech: NDArray[np.bool_],
        over: NDArray[np.bool_],
        silence_ms: NDArray[np.int64],
        rows: NDArray[np.intp],
        step_ms: int,
    ) -> NDArray[np.bool_]:
        """All ``[R]``: loudest frame, the caller speaks, over our voice, since the last speech → too soft for us."""
        alone = speech & ~over
        self._known_ms[rows] += np.where(alone, step_ms, 0)
        self.voice_db[rows] = np.where(alone, _followed(self.voice_db[rows], level_db), self.voice_db[rows])
        told = speech & over
        ended = ~over | (told & (self._silence_ms[rows] >= APART_MS))
        self._silence_ms[rows] = silence_ms
        over_db = np.where(ended, LOWEST_DB, self._over_db[rows])
        self._over_db[rows] = np.where(told, _followed(over_db, level_db), over_db)
        self.over_ms[rows] = np.where(ended, 0, self.over_ms[rows]) + np.where(told, step_ms, 0)
        lasted = self.over_ms[rows]
        soft: NDArray[np.bool_] = (
            (self._known_ms[rows] >= KNOWN_MS)
            & (lasted >= LEAST_MS)
            & (lasted <= MOST_MS)
            & (self._over_db[rows] < self.voice_db[rows] - SOFTER_DB)
        )
        return soft


def _followed(before: Floats, level_db: Floats) -> Floats:
    """``[R]`` up at once, down slowly."""
    part = np.where(level_db > before, FAST, SLOW)
    found: Floats = np.where(before <= LOWEST_DB, level_db, before + part * (level_db - before)).astype(np.float32)
    return found
