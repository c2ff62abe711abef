"""Concealment of a synthetic vowel at 5 % loss, frozen as numbers: what changes here is heard by callers.

Regenerate by running the test and copying the reported figures, after listening.
"""

from __future__ import annotations

import numpy as np
import pytest

from telephony.audio.plc import Concealer

GOLDEN_SINGLE_DB = 14.3
GOLDEN_BURST_DB = 9.8


def vowel(samples: int) -> np.ndarray:
    """A buzz of 120 Hz with three formants and a slow swell."""
    time_s = np.arange(samples) / 8000
    wave = np.zeros(samples)
    for harmonic in range(1, 28):
        frequency = 120.0 * harmonic
        weight = sum(np.exp(-(((frequency - formant) / 150.0) ** 2)) for formant in (600, 1100, 2500))
        wave += weight * np.sin(2 * np.pi * frequency * time_s)
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 2.0 * time_s)
    return (4000 * wave * swell / np.abs(wave).max()).astype(np.int16)


def concealed(lost: set[int], frames: int) -> tuple[np.ndarray, np.ndarray]:
    """The vowel as sent and as played, [frames * 160]."""
    sent = vowel(frames * 160).reshape(frames, 160)
    played, concealer = [], Concealer(1)
    for number, frame in enumerate(sent):
        if number in lost:
            pcm = concealer.conceal(np.array([0]))
        else:
            pcm = frame[None].copy()
            concealer.recover(pcm, np.array([True]))
        concealer.accept(pcm)
        played.append(pcm[0])
    return sent.ravel(), np.concatenate(played)


def snr_db(sent: np.ndarray, played: np.ndarray) -> float:
    noise = played.astype(float) - sent
    return float(10 * np.log10(np.sum(np.square(sent, dtype=float)) / np.sum(np.square(noise))))


def test_five_percent_single_losses_of_a_vowel_stay_close_to_it() -> None:
    sent, played = concealed(set(range(10, 100, 20)), 100)
    silent = played.copy().reshape(-1, 160)
    silent[list(range(10, 100, 20))] = 0
    assert snr_db(sent, played) == pytest.approx(GOLDEN_SINGLE_DB, abs=0.5)
    assert snr_db(sent, played) > snr_db(sent, silent.ravel()) + 1.0, "better than holes"


def test_three_losses_in_a_row_fade_and_come_back() -> None:
    sent, played = concealed({30, 31, 32}, 60)
    assert snr_db(sent, played) == pytest.approx(GOLDEN_BURST_DB, abs=0.5)
