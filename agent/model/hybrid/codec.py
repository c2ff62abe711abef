"""Codes to telephone audio: a vector per codebook, summed, overlapped, and brought to 8 kHz. numpy alone."""

from __future__ import annotations

from typing import Final

import numpy as np

from agent.model.hybrid.config import OUT_HZ, OUT_SAMPLES, PHONE_HZ, STEP_SAMPLES, HybridConfig
from agent.model.hybrid.net import Floats, Ints, Rows, State, Weights

LEVEL: Final = 0.1
REACH: Final = 32
"""Samples at 22.05 kHz on each side of one at 8 kHz that count for it."""


class Voice:
    """``[B, books]`` codes to ``[B, 640]`` int16 samples."""

    def __init__(self, config: HybridConfig, weights: Weights, state: State) -> None:
        self._tail = state.column("voice.tail", (OUT_SAMPLES,))
        self._past = state.column("voice.past", (2 * REACH,))
        self._books = [weights.table(config.card, 16) for _ in range(config.books)]
        self._decode = weights.matrix(16, 2 * OUT_SAMPLES)
        self._fade = np.sin(np.linspace(0.0, np.pi, 2 * OUT_SAMPLES, dtype=np.float32)) ** 2
        self._to_phone = rate_matrix()

    def step(self, codes: Ints, rows: Rows) -> Floats:
        latent = np.sum([book[codes[:, k]] for k, book in enumerate(self._books)], axis=0)
        sound = LEVEL * (latent @ self._decode) * self._fade
        whole = self._tail[rows] + sound[:, :OUT_SAMPLES]
        self._tail[rows] = sound[:, OUT_SAMPLES:]
        line = np.concatenate((self._past[rows], whole), axis=1)
        self._past[rows] = line[:, OUT_SAMPLES:]
        heard: Floats = np.clip(line @ self._to_phone, -1.0, 1.0)
        return heard


def rate_matrix() -> Floats:
    """``[2 REACH + 1764, 640]``: windowed sinc from 22.05 to 8 kHz, ``REACH`` samples late."""
    ratio = OUT_HZ / PHONE_HZ
    cut = 0.9 / ratio
    middle = np.arange(STEP_SAMPLES) * ratio + REACH
    away = np.arange(2 * REACH + OUT_SAMPLES)[:, None] - middle
    window = np.where(np.abs(away) < REACH, np.cos(np.pi * away / (2 * REACH)) ** 2, 0.0)
    found: Floats = (cut * np.sinc(cut * away) * window).astype(np.float32)
    return found
