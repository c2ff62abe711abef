"""The one place where PCM16 becomes float and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 32768.0


def to_float(pcm: NDArray[np.int16]) -> NDArray[np.float32]:
    """PCM16 to float32 in [-1, 1), same shape."""
    return np.multiply(pcm, np.float32(1.0 / FULL_SCALE), dtype=np.float32)


def to_int16(audio: NDArray[np.floating]) -> NDArray[np.int16]:
    """Float in [-1, 1] to PCM16, rounded and clipped, same shape."""
    return np.asarray(np.clip(np.rint(audio * FULL_SCALE), -32768, 32767), np.int16)
