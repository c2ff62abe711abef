"""A piece of speech with its words. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.simulator.energy import FRAME_SAMPLES, RATE_HZ, active_frames

Audio = NDArray[np.float32]
"""8 kHz mono, full scale = 1."""
FRAME_S = FRAME_SAMPLES / RATE_HZ
LEVEL_FLOOR_DB = -120.0
RANGE_DB = 36.0
"""Quieter than that below the loud frames (95th percentile) is not speech …"""
ABOVE_NOISE_DB = 9.0
"""… and neither is what does not stand out of the clip's own noise."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word and where it lies, in samples; ``end`` exclusive."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Spoken:
    """Speech without silence around it."""

    pcm: Audio
    words: tuple[Word, ...] = ()
    exact: bool = True
    """Word times are the synthesiser's own; else they are estimated."""

    @property
    def seconds(self) -> float:
        return len(self.pcm) / RATE_HZ


def levels_db(pcm: Audio) -> NDArray[np.float64]:
    """Level of each whole frame of 10 ms in dBFS."""
    frames = len(pcm) // FRAME_SAMPLES
    power = np.mean(np.square(pcm[: frames * FRAME_SAMPLES].reshape(frames, FRAME_SAMPLES), dtype=np.float64), axis=1)
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (LEVEL_FLOOR_DB / 10))), np.float64)


def active_runs(pcm: Audio, *, noisy: bool = False) -> list[tuple[int, int]]:
    """Stretches of sound in samples, by the energy rule (three frames on, three off)."""
    found = levels_db(pcm)
    if not found.size:
        return []
    threshold = max(-65.0, float(np.percentile(found, 95)) - RANGE_DB)
    if noisy:
        threshold = max(threshold, float(np.percentile(found, 10)) + ABOVE_NOISE_DB)
    return [(a * FRAME_SAMPLES, b * FRAME_SAMPLES) for a, b in active_frames(found >= threshold)]


def runs_above(pcm: Audio, level_db: float) -> list[tuple[int, int]]:
    """Stretches of at least ``level_db`` in samples, by the energy rule."""
    return [(a * FRAME_SAMPLES, b * FRAME_SAMPLES) for a, b in active_frames(levels_db(pcm) >= level_db)]


def trimmed(spoken: Spoken, *, noisy: bool = False) -> Spoken:
    """Cut to the first and last audible frame; words move with it. Empty where nothing is audible."""
    runs = active_runs(spoken.pcm, noisy=noisy)
    if not runs:
        return Spoken(np.zeros(0, np.float32), (), spoken.exact)
    first, last = runs[0][0], runs[-1][1]
    return Spoken(spoken.pcm[first:last], moved(spoken.words, -first, last - first), spoken.exact)


def moved(words: tuple[Word, ...], by: int, length: int) -> tuple[Word, ...]:
    """Words shifted and held inside ``length`` samples."""
    return tuple(
        replace(word, start=min(max(0, word.start + by), length), end=min(max(0, word.end + by), length))
        for word in words
    )


def scaled_times(words: tuple[Word, ...], factor: float) -> tuple[Word, ...]:
    """Words of speech that takes ``factor`` times as long."""
    return tuple(replace(w, start=round(w.start * factor), end=round(w.end * factor)) for w in words)


def active_rms(pcm: Audio) -> float:
    """rms over the active frames; 0 for silence."""
    found = levels_db(pcm)
    if not found.size:
        return 0.0
    loud = found[found >= np.percentile(found, 95) - RANGE_DB]
    return float(np.sqrt(np.mean(10 ** (loud / 10))))


def at_level(pcm: Audio, level_db: float) -> Audio:
    """Brought to an active level in dBFS."""
    rms = active_rms(pcm)
    return pcm if rms <= 1e-6 else np.asarray(pcm * np.float32(10 ** (level_db / 20) / rms), np.float32)
