"""8 kHz to 16 kHz, streaming, for recognisers of wideband models. Pure numpy, one stream per object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TAPS = 48
"""Per phase; delay 24 samples at 8 kHz (3 ms)."""


def _phases() -> NDArray[np.float32]:
    n = np.arange(2 * TAPS) - (2 * TAPS - 1) / 2
    kernel = np.sinc(n / 2) * np.hamming(2 * TAPS)
    kernel *= 2 / kernel.sum()
    return np.stack([kernel[0::2], kernel[1::2]]).astype(np.float32)


PHASES = _phases()


class Upsampler:
    def __init__(self) -> None:
        self._tail = np.zeros(TAPS - 1, np.float32)

    def process(self, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        """pcm: ``[n]`` int16 at 8 kHz → ``[2n]`` int16 at 16 kHz."""
        line = np.concatenate([self._tail, pcm.astype(np.float32)])
        self._tail = line[len(line) - (TAPS - 1) :]
        out = np.empty(2 * len(pcm), np.float32)
        for phase, taps in enumerate(PHASES):
            out[phase::2] = np.convolve(line, taps, "valid")
        return np.clip(np.rint(out), -32768, 32767).astype(np.int16)
