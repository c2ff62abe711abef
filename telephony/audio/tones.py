"""Tones: synthesis of one or two sines, DTMF (ITU-T Q.23) and detection by the Goertzel recursion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS_HZ = (697, 770, 852, 941)
COLUMNS_HZ = (1209, 1336, 1477, 1633)
KEYS = "123A456B789C*0#D"
_MIN_LEVEL = 10.0 ** (-36.0 / 20.0)  # Q.24: tones weaker than about -36 dBm0 need not be taken
_TWIST_DB = 8.0  # Q.24 allows 4 to 8 dB between the two tones


def tone(frequencies_hz: tuple[float, ...], samples: int, *, rate_hz: int = 8000, level_dbfs: float = -10.0,
         start: int = 0) -> NDArray[np.int16]:  # fmt: skip
    """PCM16 [samples]: the sum of sines, each at ``level_dbfs`` (peak); ``start`` continues the phase."""
    time_s = (start + np.arange(samples)) / rate_hz
    peak = 32767.0 * 10.0 ** (level_dbfs / 20.0)
    wave = sum((np.sin(2 * np.pi * frequency * time_s) for frequency in frequencies_hz), np.zeros(samples))
    return np.asarray(np.clip(np.rint(peak * wave), -32768, 32767), np.int16)


def dtmf(key: str, samples: int, *, rate_hz: int = 8000, level_dbfs: float = -10.0) -> NDArray[np.int16]:
    """PCM16 [samples] of one key (``0-9*#ABCD``)."""
    at = KEYS.index(key)
    return tone((ROWS_HZ[at // 4], COLUMNS_HZ[at % 4]), samples, rate_hz=rate_hz, level_dbfs=level_dbfs)


def amplitudes(
    pcm: NDArray[np.int16], frequencies_hz: tuple[float, ...], *, rate_hz: int = 8000
) -> NDArray[np.float64]:
    """``pcm`` [..., samples] to [..., frequencies]: amplitude of each, 1.0 for a full-scale sine (Goertzel's bins)."""
    samples = pcm.shape[-1]
    angle = 2 * np.pi * np.outer(np.arange(samples), frequencies_hz) / rate_hz
    bins = (pcm / 32768.0) @ np.exp(-1j * angle)
    return np.asarray(np.abs(bins) * 2 / samples)


def detect_dtmf(pcm: NDArray[np.int16], *, rate_hz: int = 8000) -> str:
    """The key that sounds all through ``pcm`` [samples, at least 20 ms], or an empty text."""
    found = amplitudes(pcm, ROWS_HZ + COLUMNS_HZ, rate_hz=rate_hz)
    low, high = found[:4], found[4:]
    row, column = int(low.argmax()), int(high.argmax())
    pair = low[row], high[column]
    if min(pair) < _MIN_LEVEL or 20 * np.log10(max(pair) / min(pair)) > _TWIST_DB:
        return ""
    power = float(np.mean(np.square(pcm / 32768.0)))
    # The two tones must carry most of the power, or it is speech.
    if (pair[0] ** 2 + pair[1] ** 2) / 2 < 0.6 * power:
        return ""
    return KEYS[row * 4 + column]
