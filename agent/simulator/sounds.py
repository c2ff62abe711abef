"""Sounds that are not words, made from seeded noise: coughs, breaths, babble, streets. All 8 kHz int16."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.simulator.energy import RATE_HZ, Pcm

Floats = NDArray[np.float64]
PEAK = 12_000.0
VOICES_IN_BABBLE = 7


def tic(kind: str, rng: np.random.Generator) -> Pcm:
    """A ``cough``, ``throat``, ``um``, ``breath`` or ``laugh``; each draw differs in length and colour."""
    return _TICS[kind](rng)


def noise(kind: str, seconds: float, rng: np.random.Generator) -> Pcm:
    """``white``, ``street`` (low rumble), ``babble`` (many voices) or ``tv`` (one voice over music)."""
    samples = round(seconds * RATE_HZ)
    if kind == "white":
        return _to_pcm(rng.standard_normal(samples))
    if kind == "street":
        swell = 1 + 0.5 * np.sin(2 * np.pi * 0.3 * np.arange(samples) / RATE_HZ + rng.uniform(0, 6))
        return _to_pcm(_coloured(samples, rng, (0, 80, 300, 900, 4000), (0.2, 1, 0.8, 0.15, 0.02)) * swell)
    if kind == "tv":
        beat = np.zeros(samples)
        for pitch_hz in (220.0, 277.2, 329.6):
            beat += np.sin(2 * np.pi * pitch_hz * np.arange(samples) / RATE_HZ + rng.uniform(0, 6))
        return _to_pcm(_murmur(samples, rng) + 0.15 * beat)
    return _to_pcm(np.sum([_murmur(samples, rng) for _ in range(VOICES_IN_BABBLE)], axis=0))


def _coloured(samples: int, rng: np.random.Generator, at_hz: tuple[float, ...], gain: tuple[float, ...]) -> Floats:
    """Noise with a spectrum given by points."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    shape = np.interp(np.fft.rfftfreq(samples, 1 / RATE_HZ), at_hz, gain)
    return np.fft.irfft(spectrum * shape, samples)


def _voiced(samples: int, pitch_hz: float, formants_hz: tuple[float, ...], rng: np.random.Generator) -> Floats:
    """Harmonics of a wandering pitch under formants: a vowel without words."""
    wander = 1 + 0.03 * np.sin(2 * np.pi * rng.uniform(3, 6) * np.arange(samples) / RATE_HZ)
    phase = 2 * np.pi * np.cumsum(pitch_hz * wander) / RATE_HZ
    out = np.zeros(samples)
    for harmonic in range(1, int(3400 / pitch_hz)):
        at = harmonic * pitch_hz
        gain = sum(1 / (1 + ((at - formant) / 120) ** 2) for formant in formants_hz)
        out += gain / harmonic**0.5 * np.sin(harmonic * phase)
    return out


def _murmur(samples: int, rng: np.random.Generator) -> Floats:
    """One voice's syllables, about four a second, with pauses."""
    pitch_hz = rng.uniform(95, 210)
    formants = (rng.uniform(350, 700), rng.uniform(1000, 1900), rng.uniform(2300, 2900))
    knots = rng.uniform(0, 1, max(2, round(samples / RATE_HZ * 8))) ** 2
    envelope = np.interp(np.arange(samples), np.linspace(0, samples, len(knots)), knots)
    breath = _coloured(samples, rng, (0, 300, 1500, 3400, 4000), (0, 0.3, 1, 0.6, 0))
    return envelope * (_voiced(samples, pitch_hz, formants, rng) + 0.1 * breath)


def _burst(seconds: float, attack_s: float, decay_s: float) -> Floats:
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.minimum(1.0, at / attack_s) * np.exp(-np.maximum(0.0, at - attack_s) / decay_s)


def _cough(rng: np.random.Generator) -> Pcm:
    """An explosive burst with a voiced tail, once or twice."""
    parts: list[Floats] = []
    for _ in range(int(rng.integers(1, 3))):
        envelope = _burst(rng.uniform(0.22, 0.38), 0.008, rng.uniform(0.06, 0.11))
        rush = _coloured(len(envelope), rng, (0, 250, 700, 1800, 3400, 4000), (0.1, 0.8, 1, 0.7, 0.4, 0.1))
        tail = _voiced(len(envelope), rng.uniform(120, 190), (600.0, 1300.0), rng)
        parts += [envelope * (rush / np.std(rush) + 0.25 * tail), np.zeros(round(rng.uniform(0.05, 0.12) * RATE_HZ))]
    return _to_pcm(np.concatenate(parts))


def _throat(rng: np.random.Generator) -> Pcm:
    envelope = _burst(rng.uniform(0.35, 0.6), 0.05, rng.uniform(0.15, 0.3))
    flutter = 1 + 0.7 * np.sign(np.sin(2 * np.pi * rng.uniform(22, 35) * np.arange(len(envelope)) / RATE_HZ))
    rough = _coloured(len(envelope), rng, (0, 150, 500, 1500, 4000), (0.1, 1, 0.8, 0.3, 0.1))
    return _to_pcm(envelope * flutter * rough)


def _um(rng: np.random.Generator) -> Pcm:
    envelope = np.hanning(round(rng.uniform(0.3, 0.5) * RATE_HZ)) ** 0.5
    return _to_pcm(envelope * _voiced(len(envelope), rng.uniform(95, 200), (500.0, 1150.0, 2400.0), rng))


def _breath(rng: np.random.Generator) -> Pcm:
    envelope = np.hanning(round(rng.uniform(0.5, 0.9) * RATE_HZ))
    return _to_pcm(
        0.4 * envelope * _coloured(len(envelope), rng, (0, 400, 1500, 3000, 4000), (0, 0.3, 1, 0.8, 0.2)), 0.4
    )


def _laugh(rng: np.random.Generator) -> Pcm:
    pitch_hz, parts = rng.uniform(150, 260), []
    for beat in range(int(rng.integers(3, 6))):
        envelope = _burst(0.12, 0.02, 0.05) * 0.85**beat
        parts += [envelope * _voiced(len(envelope), pitch_hz, (700.0, 1200.0, 2600.0), rng), np.zeros(640)]
    return _to_pcm(np.concatenate(parts))


def _to_pcm(wave: Floats, share: float = 1.0) -> Pcm:
    peak = float(np.max(np.abs(wave), initial=1e-9))
    return np.round(wave * (PEAK * share / peak)).astype(np.int16)


_TICS = {"cough": _cough, "throat": _throat, "um": _um, "breath": _breath, "laugh": _laugh}
