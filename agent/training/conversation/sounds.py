"""Sounds that are no words, drawn so wide that no generator's habit can be learned: tics, bursts, beds. 8 kHz floats.

Not the simulator's (``agent.simulator.sounds``): the benchmark uses those, and must stay new to the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.simulator.energy import RATE_HZ
from agent.training.voices.spoken import Audio, at_level
from telephony.audio.levels import to_float
from telephony.audio.tones import dtmf

Rng = np.random.Generator
Floats = NDArray[np.float64]
LEVEL_DB: Final = -22.0


def tic(rng: Rng) -> Audio:
    """A cough, a cleared throat, a sniff, a breath, a sneeze, lips, a laugh, a hum."""
    makers: tuple[Callable[[Rng], Floats], ...] = (_cough, _cough, _throat, _breath, _sneeze, _lips, _laugh, _hum)
    return _level(makers[int(rng.integers(len(makers)))](rng))


def burst(rng: Rng) -> Audio:
    """A noise with a beginning and an end: a door, a horn, a dog, keys, a ring tone, paper, wind on the microphone."""
    makers: tuple[Callable[[Rng], Floats], ...] = (
        _knocks,
        _horn,
        _bark,
        _clicks,
        _ring,
        _rustle,
        _wind,
        _crash,
        _beeps,
    )
    return _level(makers[int(rng.integers(len(makers)))](rng))


def bed(samples: int, rng: Rng) -> Audio:
    """A steady background: white to brown noise, hum, a room full of murmurs, traffic."""
    kind = int(rng.integers(5))
    if kind == 0:
        wave = _noise(samples, rng, (0, 4000), (1, 1))
    elif kind == 1:
        wave = _noise(
            samples, rng, (0, 100, 400, 1500, 4000), (0.3, 1, rng.uniform(0.2, 0.8), rng.uniform(0.02, 0.3), 0.01)
        )
    elif kind == 2:
        mains = 50.0 if rng.random() < 0.5 else 60.0
        time = np.arange(samples) / RATE_HZ
        wave = sum(
            (rng.uniform(0, 1) / k * np.sin(2 * np.pi * mains * k * time) for k in range(2, 12)), np.zeros(samples)
        )
        wave = wave + 0.3 * _noise(samples, rng, (0, 4000), (1, 0.3))
    elif kind == 3:
        wave = sum((_murmur(samples, rng) for _ in range(int(rng.integers(3, 9)))), np.zeros(samples))
    else:
        wave = _noise(samples, rng, (0, 60, 250, 900, 4000), (0.2, 1, 0.7, 0.15, 0.02)) * _swell(samples, rng)
    if rng.random() < 0.4:
        wave = wave * _swell(samples, rng)
    return _level(wave)


def music(samples: int, rng: Rng) -> Audio:
    """Chords with a beat, the same for nobody."""
    time = np.arange(samples) / RATE_HZ
    beat_s = rng.uniform(0.35, 0.8)
    root = rng.uniform(110, 220)
    out = np.zeros(samples)
    for index in range(int(samples / RATE_HZ / beat_s) + 1):
        note = root * 2 ** (rng.choice((0, 2, 4, 5, 7, 9, 12)) / 12)
        start = round(index * beat_s * RATE_HZ)
        length = min(samples - start, round(rng.uniform(0.3, 1.6) * RATE_HZ))
        if length <= 0:
            continue
        envelope = np.minimum(1, np.arange(length) / 80) * np.exp(
            -np.arange(length) / (rng.uniform(0.1, 0.6) * RATE_HZ)
        )
        for harmonic in range(1, int(rng.integers(3, 8))):
            pitch = note * harmonic * rng.choice((1.0, 1.0, 1.25, 1.5))
            if pitch < 3800:
                out[start : start + length] += envelope / harmonic * np.sin(2 * np.pi * pitch * time[:length])
        if rng.random() < 0.5:
            tap = min(samples - start, 900)
            out[start : start + tap] += 0.6 * rng.standard_normal(tap) * np.exp(-np.arange(tap) / 200)
    return _level(out)


def keys(digits: str, rng: Rng) -> Audio:
    """Keys of a telephone, in band."""
    on, off = int(rng.integers(500, 2000)), int(rng.integers(400, 3000))
    level = float(rng.uniform(-16, -7))
    parts = [part for key in digits for part in (to_float(dtmf(key, on, level_dbfs=level)), np.zeros(off, np.float32))]
    return np.concatenate(parts)


# --- makers ---


def _cough(rng: Rng) -> Floats:
    parts: list[Floats] = []
    for _ in range(int(rng.integers(1, 4))):
        count = round(rng.uniform(0.15, 0.45) * RATE_HZ)
        peak = rng.uniform(500, 1800)
        rush = _noise(count, rng, (0, 200, peak, 3400, 4000), (0.05, 0.5, 1, rng.uniform(0.2, 0.7), 0.1))
        tail = _voiced(count, rng.uniform(90, 280), rng) * rng.uniform(0, 0.6)
        parts += [
            _decay(count, rng.uniform(0.004, 0.02), rng.uniform(0.04, 0.14)) * (rush + tail),
            _gap(rng, 0.03, 0.25),
        ]
    return np.concatenate(parts)


def _throat(rng: Rng) -> Floats:
    count = round(rng.uniform(0.25, 0.8) * RATE_HZ)
    rate = rng.uniform(18, 45)
    flutter = 1 + rng.uniform(0.3, 0.9) * np.sign(np.sin(2 * np.pi * rate * np.arange(count) / RATE_HZ))
    rough = _noise(count, rng, (0, 120, 450, rng.uniform(1200, 2500), 4000), (0.1, 1, 0.8, 0.3, 0.05))
    return _bell(count, rng) * flutter * (rough + 0.4 * _voiced(count, rng.uniform(80, 160), rng))


def _breath(rng: Rng) -> Floats:
    count = round(rng.uniform(0.25, 1.1) * RATE_HZ)
    return _bell(count, rng) * _noise(count, rng, (0, 300, rng.uniform(900, 2200), 3200, 4000), (0, 0.2, 1, 0.7, 0.2))


def _sneeze(rng: Rng) -> Floats:
    inhale = _bell(round(0.3 * RATE_HZ), rng) * 0.2 * _noise(round(0.3 * RATE_HZ), rng, (0, 1000, 4000), (0, 1, 0.5))
    count = round(rng.uniform(0.2, 0.5) * RATE_HZ)
    blast = _decay(count, 0.006, rng.uniform(0.06, 0.15)) * _noise(
        count, rng, (0, 500, 2500, 4000), (0.05, 0.5, 1, 0.8)
    )
    return np.concatenate((inhale, _gap(rng, 0.02, 0.15), blast))


def _lips(rng: Rng) -> Floats:
    parts: list[Floats] = []
    for _ in range(int(rng.integers(1, 5))):
        count = int(rng.integers(60, 300))
        parts += [_decay(count, 0.001, 0.008) * rng.standard_normal(count), _gap(rng, 0.04, 0.3)]
    return np.concatenate(parts)


def _laugh(rng: Rng) -> Floats:
    pitch, parts = rng.uniform(120, 380), []
    period = rng.uniform(0.13, 0.28)
    for beat in range(int(rng.integers(2, 9))):
        count = round(period * rng.uniform(0.4, 0.7) * RATE_HZ)
        voice = _voiced(count, pitch * rng.uniform(0.9, 1.15) * 0.98**beat, rng)
        hiss = rng.uniform(0.05, 0.5) * _noise(count, rng, (0, 800, 2500, 4000), (0, 1, 0.8, 0.3))
        parts += [0.9**beat * _bell(count, rng) * (voice + hiss), np.zeros(round(period * 0.4 * RATE_HZ))]
    return np.concatenate(parts)


def _hum(rng: Rng) -> Floats:
    count = round(rng.uniform(0.25, 1.4) * RATE_HZ)
    return _bell(count, rng) * _voiced(
        count, rng.uniform(90, 260), rng, formants=(rng.uniform(220, 450), 1100.0, 2300.0)
    )


def _knocks(rng: Rng) -> Floats:
    parts: list[Floats] = []
    colour = rng.uniform(150, 900)
    for _ in range(int(rng.integers(1, 6))):
        count = round(rng.uniform(0.05, 0.3) * RATE_HZ)
        thud = _noise(count, rng, (0, 80, colour, 2 * colour, 4000), (0.2, 0.8, 1, 0.2, 0.02))
        parts += [_decay(count, 0.002, rng.uniform(0.015, 0.08)) * thud, _gap(rng, 0.05, 0.5)]
    return np.concatenate(parts)


def _horn(rng: Rng) -> Floats:
    count = round(rng.uniform(0.2, 1.5) * RATE_HZ)
    time = np.arange(count) / RATE_HZ
    tones = [rng.uniform(250, 700) * k for k in (1.0, rng.uniform(1.15, 1.35))]
    wave = sum((np.tanh(3 * np.sin(2 * np.pi * hz * time)) for hz in tones), np.zeros(count))
    return np.asarray(np.minimum(1, np.minimum(np.arange(count), np.arange(count)[::-1]) / 200) * wave, np.float64)


def _bark(rng: Rng) -> Floats:
    parts: list[Floats] = []
    pitch = rng.uniform(250, 700)
    for _ in range(int(rng.integers(1, 5))):
        count = round(rng.uniform(0.1, 0.25) * RATE_HZ)
        glide = pitch * (1.3 - 0.6 * np.arange(count) / count)
        wave = np.tanh(4 * np.sin(2 * np.pi * np.cumsum(glide) / RATE_HZ)) + 0.6 * rng.standard_normal(count)
        parts += [_bell(count, rng) * wave, _gap(rng, 0.1, 0.5)]
    return np.concatenate(parts)


def _clicks(rng: Rng) -> Floats:
    count = round(rng.uniform(0.3, 2.5) * RATE_HZ)
    out = np.zeros(count)
    for _ in range(int(rng.integers(2, 25))):
        size = int(rng.integers(20, 160))
        at = int(rng.integers(0, count - size))
        out[at : at + size] += rng.uniform(0.3, 1) * rng.standard_normal(size) * np.exp(-np.arange(size) / (size / 4))
    return out


def _ring(rng: Rng) -> Floats:
    count = round(rng.uniform(0.4, 2.0) * RATE_HZ)
    time = np.arange(count) / RATE_HZ
    warble = np.sign(np.sin(2 * np.pi * rng.uniform(8, 25) * time))
    hz = rng.uniform(500, 1800)
    return np.asarray(np.sin(2 * np.pi * np.cumsum(hz * (1 + 0.12 * warble)) / RATE_HZ), np.float64)


def _beeps(rng: Rng) -> Floats:
    hz, parts = rng.uniform(400, 2500), []
    on, off = rng.uniform(0.05, 0.5), rng.uniform(0.05, 0.6)
    for _ in range(int(rng.integers(1, 5))):
        count = round(on * RATE_HZ)
        parts += [np.sin(2 * np.pi * hz * np.arange(count) / RATE_HZ), np.zeros(round(off * RATE_HZ))]
    return np.concatenate(parts)


def _rustle(rng: Rng) -> Floats:
    count = round(rng.uniform(0.3, 2.0) * RATE_HZ)
    points = max(4, count // 300)
    grains = np.interp(np.arange(count), np.linspace(0, count, points), rng.standard_normal(points))
    return _noise(count, rng, (0, 800, 2500, 4000), (0.02, 0.4, 1, 0.9)) * grains**2


def _wind(rng: Rng) -> Floats:
    count = round(rng.uniform(0.5, 3.0) * RATE_HZ)
    return _noise(count, rng, (0, 40, 150, 500, 4000), (1, 1, 0.5, 0.1, 0.01)) * _swell(count, rng) * _bell(count, rng)


def _crash(rng: Rng) -> Floats:
    count = round(rng.uniform(0.2, 1.2) * RATE_HZ)
    time = np.arange(count) / RATE_HZ
    ring = sum((np.sin(2 * np.pi * rng.uniform(600, 3600) * time) for _ in range(6)), np.zeros(count))
    return _decay(count, 0.002, rng.uniform(0.05, 0.4)) * (ring + 3 * rng.standard_normal(count))


# --- parts ---


def _noise(samples: int, rng: Rng, at_hz: tuple[float, ...], gain: tuple[float, ...]) -> Floats:
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    shape = np.interp(np.fft.rfftfreq(samples, 1 / RATE_HZ), at_hz, gain)
    wave = np.fft.irfft(spectrum * shape, samples)
    return np.asarray(wave / (np.std(wave) + 1e-9), np.float64)


def _voiced(samples: int, pitch_hz: float, rng: Rng, formants: tuple[float, ...] | None = None) -> Floats:
    found = formants or (rng.uniform(350, 800), rng.uniform(1000, 2000), rng.uniform(2200, 3000))
    wander = 1 + 0.04 * np.sin(2 * np.pi * rng.uniform(2, 6) * np.arange(samples) / RATE_HZ + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch_hz * wander) / RATE_HZ
    out = np.zeros(samples)
    for harmonic in range(1, max(2, int(3600 / pitch_hz))):
        at = harmonic * pitch_hz
        out += sum(1 / (1 + ((at - f) / 130) ** 2) for f in found) / harmonic**0.5 * np.sin(harmonic * phase)
    return out / (np.std(out) + 1e-9)


def _murmur(samples: int, rng: Rng) -> Floats:
    points = max(2, round(samples / RATE_HZ * rng.uniform(5, 9)))
    envelope = np.interp(np.arange(samples), np.linspace(0, samples, points), rng.uniform(0, 1, points) ** 2)
    return envelope * (_voiced(samples, rng.uniform(85, 240), rng) + 0.2 * rng.standard_normal(samples))


def _swell(samples: int, rng: Rng) -> Floats:
    points = max(2, round(samples / RATE_HZ * rng.uniform(0.5, 3)))
    swell = np.interp(np.arange(samples), np.linspace(0, samples, points), rng.uniform(0.2, 1, points))
    return np.asarray(swell, np.float64)


def _decay(samples: int, attack_s: float, decay_s: float) -> Floats:
    at = np.arange(samples) / RATE_HZ
    return np.minimum(1.0, at / attack_s) * np.exp(-np.maximum(0.0, at - attack_s) / decay_s)


def _bell(samples: int, rng: Rng) -> Floats:
    return np.hanning(samples) ** rng.uniform(0.3, 1.5)


def _gap(rng: Rng, low_s: float, high_s: float) -> Floats:
    return np.zeros(round(rng.uniform(low_s, high_s) * RATE_HZ))


def _level(wave: Floats) -> Audio:
    return at_level(np.asarray(wave, np.float32), LEVEL_DB)
