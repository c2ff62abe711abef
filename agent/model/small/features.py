"""Log-mel features of telephone audio: streamed for all rows at once, and the same numbers for a whole recording.

25 ms windows every 10 ms, 40 bands from 100 to 3800 Hz, in dB of full scale, held in one byte each (0.375 dB a step).
Frame ``t`` sees samples ``[80 (t + 1) - 200, 80 (t + 1))``: nothing of the future. small_model.md 5 found this enough.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE_HZ: Final = 8000
HOP: Final = 80
WINDOW: Final = 200
FFT: Final = 256
BANDS: Final = 40
LOW_HZ, HIGH_HZ = 100.0, 3800.0
FLOOR_DB: Final = -90.0
STEP_DB: Final = 0.375
"""255 steps reach +5.6 dB."""
Codes = NDArray[np.uint8]


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Window ``[200]`` and filters ``[129, 40]``; a full-scale sine has 0 dB in its band."""
    window = np.hanning(WINDOW + 1)[:-1]
    edges = _mel_to_hz(np.linspace(_hz_to_mel(LOW_HZ), _hz_to_mel(HIGH_HZ), BANDS + 2))
    frequency = np.fft.rfftfreq(FFT, 1 / RATE_HZ)[:, None]
    rise = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rise, fall))
    # A full-scale sine puts (sum(window) / 2)² into its bin; narrow bands that fall between bins are lifted.
    filters /= np.maximum(filters.max(axis=0), 0.5) * (window.sum() / 2) ** 2
    return window.astype(np.float32), filters.astype(np.float32)


def log_mel(pcm: NDArray[np.floating]) -> Codes:
    """A whole recording ``[..., n]``, full scale 1, silence before it, to codes ``[..., n // 80, 40]``."""
    padded = np.concatenate((np.zeros((*pcm.shape[:-1], WINDOW - HOP), np.float32), pcm), axis=-1, dtype=np.float32)
    return _codes(padded, pcm.shape[-1] // HOP)


def decibels(codes: Codes) -> NDArray[np.float32]:
    """Codes back to dB of full scale."""
    return (codes.astype(np.float32) * np.float32(STEP_DB) + np.float32(FLOOR_DB)).astype(np.float32)


class LogMel:
    """Features of ``rows`` streams; a row that rests keeps its past, a row that is reset has silence behind it."""

    def __init__(self, rows: int) -> None:
        self._past = np.zeros((rows, WINDOW - HOP), np.float32)

    def reset(self, rows: NDArray[np.intp] | int) -> None:
        """Forget the past of ``rows``."""
        self._past[rows] = 0.0

    def push(self, pcm: NDArray[np.float32], rows: NDArray[np.intp]) -> Codes:
        """``pcm`` ``[k, n]`` of ``rows``, ``n`` a multiple of 80, to codes ``[k, n // 80, 40]``."""
        line = np.concatenate((self._past[rows], pcm), axis=1)
        self._past[rows] = line[:, line.shape[1] - (WINDOW - HOP) :]
        frames = pcm.shape[1] // HOP
        sounding = line.any(axis=1)
        if sounding.all():
            return _codes(line, frames)
        found = np.zeros((len(line), frames, BANDS), np.uint8)  # silence is code 0, and our channel is often silent
        found[sounding] = _codes(line[sounding], frames)
        return found

    def state(self, row: int) -> NDArray[np.float32]:
        """Past ``[120]`` of a row, to be moved elsewhere."""
        return np.array(self._past[row])

    def restore(self, row: int, past: NDArray[np.float32]) -> None:
        self._past[row] = past


def window() -> NDArray[np.float32]:
    """``[200]``."""
    return _tables()[0]


def filters() -> NDArray[np.float32]:
    """``[129, 40]``: power spectrum to bands."""
    return _tables()[1]


def mel_centres_hz() -> NDArray[np.float64]:
    """Where each band is loudest."""
    return _mel_to_hz(np.linspace(_hz_to_mel(LOW_HZ), _hz_to_mel(HIGH_HZ), BANDS + 2))[1:-1]


def _codes(line: NDArray[np.float32], frames: int) -> Codes:
    window, filters = _tables()
    if not frames:
        return np.zeros((*line.shape[:-1], 0, BANDS), np.uint8)
    pieces = np.lib.stride_tricks.sliding_window_view(line, WINDOW, axis=-1)[..., ::HOP, :][..., :frames, :]
    spectrum = np.fft.rfft(pieces * window, FFT, axis=-1)
    power = np.asarray(np.square(spectrum.real) + np.square(spectrum.imag), np.float32)
    level = 10 * np.log10(power @ filters + np.float32(10 ** (FLOOR_DB / 10)))
    return np.asarray(np.clip(np.rint((level - FLOOR_DB) / STEP_DB), 0, 255), np.uint8)


def _hz_to_mel(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(700 * (10 ** (mel / 2595) - 1), np.float64)
