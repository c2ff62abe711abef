"""Levels of 10 ms frames against a row's own noise floor and speech peak: exact onsets and offsets.

The rule is that of the duplex bench: a frame is active at ``L >= max(-55, peak - 30)`` dBFS; here the peak is that of
the running utterance, and the row's noise floor plus a margin takes part.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.model.parts.rowstate import RowState

Floats = NDArray[np.float32]

FRAME_SAMPLES = 80
FRAME_MS = 10
LOWEST_DB = -90.0
ABSOLUTE_DB = -55.0
UNDER_PEAK_DB = 30.0
OVER_NOISE_DB = 9.0
NOISE_START_DB = -65.0
NOISE_RANGE_DB = (-75.0, -32.0)
NOISE_FALL = 0.3
"""Share of the way down per frame: a floor is found within 100 ms of silence."""
NOISE_RISE_SPEECH_DB = 0.02
"""Per frame while the model hears speech (2 dB/s): words do not become the floor …"""
NOISE_RISE_QUIET_DB = 0.3
"""… and without speech (30 dB/s): a fan that starts is the floor after half a second."""
PEAK_DECAY_DB = 0.1
"""Per frame (10 dB/s): a loud "hello" does not hide a soft digit for long."""


def frame_levels(pcm: Floats) -> Floats:
    """pcm: ``[R, n]`` in [-1, 1] → ``[R, n // 80]`` dBFS of 10 ms frames."""
    frames = pcm.reshape(pcm.shape[0], -1, FRAME_SAMPLES)
    power: Floats = np.einsum("rfs,rfs->rf", frames, frames) / FRAME_SAMPLES
    levels: Floats = (10.0 * np.log10(power + 1e-9)).astype(np.float32)
    return levels


class Levels(RowState):
    """Noise floor and speech peak of every row."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.noise_db: Floats = self._column("noise_db", np.float32, NOISE_START_DB)
        self.peak_db: Floats = self._column("peak_db", np.float32, LOWEST_DB)

    def threshold_db(self, rows: NDArray[np.intp]) -> Floats:
        """``[R]`` level from which a frame of each row is active."""
        over_noise = self.noise_db[rows] + OVER_NOISE_DB
        under_peak = self.peak_db[rows] - UNDER_PEAK_DB
        threshold: Floats = np.maximum(np.maximum(over_noise, under_peak), np.float32(ABSOLUTE_DB))
        return threshold

    def learn(self, levels: Floats, rows: NDArray[np.intp], speech: NDArray[np.bool_]) -> None:
        """Move floors and peaks by one step of frame ``levels`` ``[R, F]``; ``speech`` ``[R]``: heard by the model."""
        noise, peak = self.noise_db[rows], self.peak_db[rows]
        rise = np.where(speech, NOISE_RISE_SPEECH_DB, NOISE_RISE_QUIET_DB).astype(np.float32)
        for level in levels.T:
            lower = level < noise
            noise = np.where(lower, noise + NOISE_FALL * (level - noise), np.minimum(noise + rise, level))
            peak = np.where(speech, np.maximum(peak - PEAK_DECAY_DB, level), peak - PEAK_DECAY_DB)
        self.noise_db[rows] = np.clip(noise, *NOISE_RANGE_DB)
        self.peak_db[rows] = np.maximum(peak, LOWEST_DB)
