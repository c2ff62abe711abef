"""From an engine's samples to telephone speech: 8 kHz, one level, clean edges. Pure numpy, streaming."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
Floats = NDArray[np.float64]

RATE_HZ: Final = 8000
FADE_SAMPLES: Final = 40
"""5 ms at each edge of a clause: no clicks."""
KNEE: Final = 0.42 * 32768
"""Above this the limiter bends …"""
CEILING: Final = 0.56 * 32768
"""… so that nothing passes -5 dBFS; a voice's gain puts its usual peak near -6 dBFS."""

TAPS: Final = 65
CUTOFF_HZ: Final = 3600.0


def _lowpass() -> Floats:
    """Windowed-sinc low-pass at 16 kHz: flat to 3.2 kHz, aliases above 4.4 kHz under -50 dB."""
    offset = np.arange(TAPS) - TAPS // 2
    taps = np.sinc(2 * CUTOFF_HZ / 16000 * offset) * np.kaiser(TAPS, 5.0)
    return np.asarray(taps / taps.sum(), np.float64)


_LOWPASS: Final = _lowpass()


class Halver:
    """16 kHz to 8 kHz, piece by piece: output sample ``m`` lies exactly at input sample ``2 m``."""

    def __init__(self) -> None:
        self._held: Floats = np.zeros(TAPS // 2)

    def push(self, block: NDArray[np.int16] | Floats) -> Floats:
        """The samples that ``block`` completes."""
        held: Floats = np.concatenate((self._held, np.asarray(block, np.float64)))
        count = max(0, (held.size - TAPS) // 2 + 1)
        self._held = held[2 * count :]
        if not count:
            return np.zeros(0)
        return np.asarray(np.convolve(held[: 2 * (count - 1) + TAPS], _LOWPASS, "valid")[::2], np.float64)

    def flush(self) -> Floats:
        """What was held back for the filter's second half."""
        return self.push(np.zeros(TAPS // 2))


def limit(samples: Floats) -> Pcm:
    """int16 with everything above the knee bent under the ceiling."""
    size = np.abs(samples)
    over = size > KNEE
    if over.any():
        bent = KNEE + (CEILING - KNEE) * np.tanh((size[over] - KNEE) / (CEILING - KNEE))
        samples = samples.copy()
        samples[over] = np.sign(samples[over]) * bent
    return np.round(samples).astype(np.int16)


class Cutter:
    """Keeps ``start`` to ``end`` of a stream of 8 kHz samples, faded at both edges, at one gain."""

    def __init__(self, start: int, end: int, gain: float) -> None:
        self._start, self._end, self._gain, self._at = start, max(start, end), gain, 0

    def push(self, block: Floats) -> Pcm:
        """The part of ``block`` that is kept (often all or nothing)."""
        first, self._at = self._at, self._at + block.size
        low, high = max(first, self._start), min(self._at, self._end)
        if high <= low:
            return np.zeros(0, np.int16)
        kept = block[low - first : high - first] * self._gain
        if low < self._start + FADE_SAMPLES or high > self._end - FADE_SAMPLES:
            index = np.arange(low, high)
            kept = kept * np.clip(np.minimum(index - self._start + 1, self._end - index) / FADE_SAMPLES, 0, 1)
        return limit(kept)


def speech_bounds(samples: NDArray[np.int16], *, frame: int, level: float) -> tuple[int, int]:
    """First and last sample of what is louder than ``level`` (rms of ``frame`` samples); ``(0, 0)`` for silence."""
    loud = np.flatnonzero(frame_rms(samples, frame) > level)
    return (int(loud[0]) * frame, (int(loud[-1]) + 1) * frame) if loud.size else (0, 0)


def frame_rms(samples: NDArray[np.int16], frame: int) -> Floats:
    """rms of each whole frame."""
    count = samples.size // frame
    frames = samples[: count * frame].astype(np.float64).reshape(count, frame)
    return np.asarray(np.sqrt(np.mean(frames * frames, axis=1)), np.float64)
