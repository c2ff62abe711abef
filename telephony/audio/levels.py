"""The one place where PCM16 becomes float and back, and where levels are measured and changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 32768.0
SILENCE_DBFS = -120.0
"""What ``dbfs`` says of digital silence."""


def to_float(pcm: NDArray[np.int16]) -> NDArray[np.float32]:
    """PCM16 to float32 in [-1, 1), same shape."""
    return np.multiply(pcm, np.float32(1.0 / FULL_SCALE), dtype=np.float32)


def to_int16(audio: NDArray[np.floating]) -> NDArray[np.int16]:
    """Float in [-1, 1] to PCM16, rounded and clipped, same shape."""
    return np.asarray(np.clip(np.rint(audio * FULL_SCALE), -32768, 32767), np.int16)


def apply_gain(pcm: NDArray[np.int16], gain: NDArray[np.floating] | float) -> NDArray[np.int16]:
    """``pcm`` times a linear ``gain`` that broadcasts against it, rounded and clipped."""
    return np.asarray(np.clip(np.rint(pcm * np.asarray(gain, np.float32)), -32768, 32767), np.int16)


def gain_from_db(level_db: float) -> float:
    """Decibels to a linear factor."""
    return float(10.0 ** (level_db / 20.0))


def ramp(start: float, end: float, samples: int) -> NDArray[np.float32]:
    """Linear factors [samples] that lead from ``start`` (excluded) to ``end`` (reached at the last sample)."""
    return np.linspace(start, end, samples + 1, dtype=np.float32)[1:]


def dbfs(pcm: NDArray[np.int16]) -> NDArray[np.float32]:
    """Root mean square of the last axis in dB below a full-scale square wave; at least ``SILENCE_DBFS``."""
    power = np.mean(np.square(pcm.astype(np.float32) / np.float32(FULL_SCALE)), axis=-1)
    level: NDArray[np.float32] = 10.0 * np.log10(np.maximum(power, 10.0 ** (SILENCE_DBFS / 10.0)))
    return level.astype(np.float32)
