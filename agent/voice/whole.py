"""From a whole clause at any rate to telephone speech: for engines that give a clause at once. Pure numpy."""

from __future__ import annotations

from math import gcd
from typing import Final

import numpy as np

from agent.voice.shape import RATE_HZ, Cutter, Floats, Pcm, speech_bounds

PASS_HZ, STOP_HZ = 3500.0, 3950.0
"""Flat to the first, nothing from the second on; half a cosine between them."""
FRAME: Final = RATE_HZ // 100
SILENT: Final = 110.0
"""rms of 10 ms under which the edges of a clause are cut off (as for Pico)."""
LEAD, TAIL = 80, 160
"""Samples that are kept in front of and behind what is loud."""


def to_telephone_rate(samples: Floats, rate_hz: int) -> Floats:
    """``samples`` [n] at ``rate_hz`` (8 kHz or more) → [about n · 8000 / rate_hz]: sample ``m`` lies at ``m / 8000`` s.

    By Fourier transform, so that every rate is as good as another; the clause stands in silence on both sides.
    """
    if rate_hz < RATE_HZ:
        raise ValueError(f"{rate_hz} Hz is below a telephone's rate")
    common = gcd(rate_hz, RATE_HZ)
    down, up = rate_hz // common, RATE_HZ // common
    wanted = -(-samples.size * up // down)
    blocks = samples.size // down + 2 + rate_hz // (50 * down)  # 20 ms of silence: the ends do not meet
    padded = np.zeros(blocks * down)
    padded[: samples.size] = samples
    spectrum = np.fft.rfft(padded)[: blocks * up // 2 + 1]
    at_hz = np.arange(spectrum.size) * rate_hz / padded.size
    fall = np.clip((at_hz - PASS_HZ) / (STOP_HZ - PASS_HZ), 0.0, 1.0)
    spectrum *= 0.5 + 0.5 * np.cos(np.pi * fall)
    return np.asarray(np.fft.irfft(spectrum, blocks * up)[:wanted] * (up / down), np.float64)


def telephone(samples: Floats, rate_hz: int, gain: float) -> Pcm:
    """``samples`` [n] in [-1, 1] → 8 kHz without the silence around them, at ``gain``; empty where nothing is loud."""
    scaled = to_telephone_rate(samples, rate_hz) * 32768.0
    level = np.clip(np.round(scaled), -32768, 32767).astype(np.int16)
    first, last = speech_bounds(level, frame=FRAME, level=SILENT)
    if last <= first:
        return np.zeros(0, np.int16)
    kept = scaled[max(0, first - LEAD) : min(scaled.size, last + TAIL)]
    return Cutter(0, kept.size, gain).push(kept)
