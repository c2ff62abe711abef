"""Our own voice coming back: how loud may it be on each row, and is what is heard now nothing but that?

Two rules. The sound of the last 100 ms is compared with the last 600 ms of our own (normalised cross-correlation at
every lag): a copy is echo, whatever its level. Each copy found teaches the row's return loss, and from then on
anything below the echo's expected level does not count as the caller. Somebody speaking over the echo is louder than
it, or not a copy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.model.parts.levels import FRAME_SAMPLES, LOWEST_DB, Floats, frame_levels
from agent.model.parts.rowstate import RowState

WINDOW_SAMPLES = 800
LAG_SAMPLES = 4000
"""Echo of up to 500 ms: 300 ms of the network and the far playout."""
HISTORY_SAMPLES = WINDOW_SAMPLES + LAG_SAMPLES
FFT_SIZE = 6000  # at least window + history, and a product of small primes
COPY_SCORE = 0.9
HEARD_DB = -55.0
OWN_ACTIVE_DB = -50.0
NO_ECHO_LOSS_DB = 60.0
LEAST_LOSS_DB = 6.0
MARGIN_DB = 4.0
LOSS_RISE_DB = 0.02
"""Per step while our voice plays (1 dB/s): a line whose echo has gone is trusted again."""
NEVER_DB = 100.0
"""Above every level: nothing of this step is the caller."""


class EchoGuard(RowState):
    """Per row: both last sounds and the return loss (dB by which the echo is softer than our voice)."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self._own = self._column("echo_own", np.int16, shape=(HISTORY_SAMPLES,))
        self._heard = self._column("echo_heard", np.int16, shape=(WINDOW_SAMPLES,))
        self._at = self._column("echo_at", np.int64)
        """Samples written so far; both rings are read and written from here."""
        self._own_db = self._column("echo_own_db", np.float32, LOWEST_DB, shape=(HISTORY_SAMPLES // FRAME_SAMPLES,))
        self.loss_db: Floats = self._column("echo_loss_db", np.float32, NO_ECHO_LOSS_DB)

    def step(self, pcm: NDArray[np.int16], own: NDArray[np.int16], rows: NDArray[np.intp]) -> Floats:
        """pcm, own: ``[R, n]`` int16 of the same time → ``[R]`` dBFS below which sound may be echo."""
        self._remember(pcm, own, rows)
        loudest = self._own_db[rows].max(axis=1)
        plays = loudest >= OWN_ACTIVE_DB
        if not plays.any():
            return np.full(len(rows), LOWEST_DB, np.float32)
        heard_db = frame_levels(pcm.astype(np.float32) / 32768.0).max(axis=1)
        self.loss_db[rows] = np.minimum(self.loss_db[rows] + np.where(plays, LOSS_RISE_DB, 0.0), NO_ECHO_LOSS_DB)
        expected = np.where(plays, loudest - self.loss_db[rows] + MARGIN_DB, LOWEST_DB).astype(np.float32)
        doubtful = (
            plays & (heard_db > np.maximum(expected, HEARD_DB)) & (heard_db < loudest - LEAST_LOSS_DB + MARGIN_DB)
        )
        at = np.flatnonzero(doubtful)
        if len(at):
            copies = at[self._copy_score(rows[at]) >= COPY_SCORE]
            expected[copies] = NEVER_DB
            loss = np.maximum(loudest[copies] - heard_db[copies], LEAST_LOSS_DB)
            self.loss_db[rows[copies]] = np.minimum(self.loss_db[rows[copies]], loss)
        return expected

    def _remember(self, pcm: NDArray[np.int16], own: NDArray[np.int16], rows: NDArray[np.intp]) -> None:
        count = pcm.shape[1]
        at = self._at[rows][:, None] + np.arange(count)
        self._own[rows[:, None], at % HISTORY_SAMPLES] = own
        self._heard[rows[:, None], at % WINDOW_SAMPLES] = pcm
        frames = self._at[rows][:, None] // FRAME_SAMPLES + np.arange(count // FRAME_SAMPLES)
        levels = frame_levels(own.astype(np.float32) / 32768.0) if own.any() else np.float32(LOWEST_DB)
        self._own_db[rows[:, None], frames % self._own_db.shape[1]] = levels
        self._at[rows] += count

    def _copy_score(self, rows: NDArray[np.intp]) -> Floats:
        """``[R]`` best normalised cross-correlation of what is heard with our voice, over all lags."""
        start = self._at[rows][:, None]
        own = self._own[rows[:, None], (start + np.arange(HISTORY_SAMPLES)) % HISTORY_SAMPLES].astype(np.float32)
        heard = self._heard[rows[:, None], (start + np.arange(WINDOW_SAMPLES)) % WINDOW_SAMPLES].astype(np.float32)
        spectrum = np.fft.rfft(own, FFT_SIZE) * np.conj(np.fft.rfft(heard, FFT_SIZE))
        products = np.fft.irfft(spectrum, FFT_SIZE)[:, : LAG_SAMPLES + 1]
        sums = np.cumsum(np.pad(own.astype(np.float64) ** 2, ((0, 0), (1, 0))), axis=1)
        energy = sums[:, WINDOW_SAMPLES:] - sums[:, :-WINDOW_SAMPLES]
        scale = np.sqrt(np.maximum(energy, 1.0) * np.maximum((heard**2).sum(axis=1, dtype=np.float64), 1.0)[:, None])
        best: Floats = (np.abs(products) / scale).max(axis=1).astype(np.float32)
        return best
