"""Streaming rate changes by a whole factor (8 <-> 16, 8 <-> 24 kHz): one matrix product for all rows.

A polyphase low-pass is written as a banded matrix ``[history + n, m]``; each row carries its own history, so
rows join, leave and rest independently. Output has exactly ``n * rate_out / rate_in`` samples per call: no drift.
"""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray

DELAY_MS = 1.25
"""Half the filter's length, on every conversion."""
_KAISER_BETA = 5.0  # about 50 dB of stop band, and 90 % of the pass band within 0.5 dB


class Resampler:
    """Changes the rate of ``rows`` streams, ``samples`` of input at a time."""

    def __init__(self, rate_in_hz: int, rate_out_hz: int, *, rows: int, samples: int) -> None:
        common = gcd(rate_in_hz, rate_out_hz)
        up, down = rate_out_hz // common, rate_in_hz // common
        if 1 not in (up, down):
            raise ValueError(f"{rate_in_hz} to {rate_out_hz} Hz is not a whole factor")
        if samples % down:
            raise ValueError(f"{samples} samples are no multiple of {down}")
        taps = _low_pass(up, down, rate_in_hz * up)
        self._history = (len(taps) - 1) // up
        self._samples = samples
        self._matrix = _band_matrix(taps, up, down, self._history, samples)
        self._line = np.zeros((rows, self._history + samples), np.float32)

    @property
    def rows(self) -> int:
        return len(self._line)

    @property
    def matrix(self) -> NDArray[np.float32]:
        """``[history + samples, samples_out]``: the whole conversion, for those who multiply elsewhere (a GPU)."""
        return self._matrix

    def reset(self, rows: NDArray[np.intp] | int) -> None:
        """Forget the history of ``rows``."""
        self._line[rows] = 0.0

    def process(self, audio: NDArray[np.float32], rows: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """``audio`` [k, samples] of ``rows`` (all, in order, when ``None``) to [k, samples_out]."""
        if rows is None:
            line = self._line
            line[:, : self._history] = line[:, self._samples :]
            line[:, self._history :] = audio
            return line @ self._matrix
        line = np.concatenate((self._line[rows, self._samples :], audio), axis=1)
        self._line[rows] = line
        return line @ self._matrix


def _low_pass(up: int, down: int, rate_hz: int) -> NDArray[np.float64]:
    """Windowed sinc at the higher rate; its length makes the delay ``DELAY_MS``."""
    half = round(rate_hz * DELAY_MS / 1000)
    at = np.arange(-half, half + 1)
    factor = max(up, down)
    taps = np.sinc(at / factor) * np.kaiser(2 * half + 1, _KAISER_BETA)
    return np.asarray(taps / taps.sum() * up, np.float64)


def _band_matrix(taps: NDArray[np.float64], up: int, down: int, history: int, samples: int) -> NDArray[np.float32]:
    """[history + samples, samples_out]: column m holds the taps of output sample m."""
    line = np.arange(history + samples)[:, None]
    at = np.arange(samples * up // down)[None, :] * down + (down - 1)  # of each output sample, at the higher rate
    tap = at - (line - history) * up
    inside = (tap >= 0) & (tap < len(taps))
    return np.where(inside, taps.take(np.clip(tap, 0, len(taps) - 1)), 0.0).astype(np.float32)
