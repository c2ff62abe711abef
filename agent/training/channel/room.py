"""Rooms and handsets: short impulse responses, drawn at random. Pure numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.training.voices.spoken import Audio

RATE_HZ = 8000
Rng = np.random.Generator
Floats = NDArray[np.float64]


def impulse(rng: Rng, *, seconds: float, wet: float) -> Floats:
    """A direct sound, a few reflections and a tail that falls by 60 dB in ``seconds``; ``wet``: their share."""
    length = max(64, round(seconds * RATE_HZ))
    at = np.arange(length)
    tail = rng.standard_normal(length) * 10 ** (-3 * at / length)
    tail[: int(rng.integers(8, 40))] = 0
    for _ in range(int(rng.integers(2, 7))):
        place = int(rng.integers(10, max(11, length // 3)))
        tail[place] += rng.uniform(-4, 4) * 10 ** (-3 * place / length)
    tail *= wet / (np.sqrt(np.sum(tail**2)) + 1e-9)
    tail[0] = 1.0
    return tail


def handset(rng: Rng) -> Floats:
    """A small loudspeaker and microphone: a band with a ripple."""
    low, high = rng.uniform(200, 500), rng.uniform(2400, 3600)
    frequency = np.fft.rfftfreq(128, 1 / RATE_HZ)
    size = 1 / np.sqrt(1 + (low / np.maximum(frequency, 1)) ** 6) / np.sqrt(1 + (frequency / high) ** 8)
    size *= 10 ** (np.interp(frequency, np.linspace(0, 4000, 7), rng.uniform(-5, 5, 7)) / 20)
    taps = np.roll(np.fft.irfft(size), 32)[:64] * np.hanning(64)
    return np.asarray(taps / np.sqrt(np.sum(taps**2)), np.float64)


def filtered(pcm: Audio, taps: Floats) -> Audio:
    """``pcm`` through ``taps`` by overlap-add; same length, the filter's own delay stays in."""
    size = max(4096, 1 << (4 * taps.size - 1).bit_length())
    block = size - taps.size + 1
    count = -(-pcm.size // block)
    padded = np.zeros(count * block, np.float32)
    padded[: pcm.size] = pcm
    spectrum = np.fft.rfft(padded.reshape(count, block), size, axis=1) * np.fft.rfft(taps, size)
    pieces = np.fft.irfft(spectrum, size, axis=1)
    out = np.zeros(count * block + size)
    for index in range(count):
        out[index * block : index * block + size] += pieces[index]
    return out[: pcm.size].astype(np.float32)


def band(pcm: Audio, low_hz: float, high_hz: float, slope: float = 12.0) -> Audio:
    """Band-pass without delay, as steep as telephone filters are."""
    spectrum = np.fft.rfft(pcm)
    frequency = np.fft.rfftfreq(pcm.size, 1 / RATE_HZ)
    gain = 1 / np.sqrt(1 + (low_hz / np.maximum(frequency, 1e-3)) ** slope)
    gain /= np.sqrt(1 + (frequency / high_hz) ** (3 * slope))
    return np.fft.irfft(spectrum * gain, pcm.size).astype(np.float32)
