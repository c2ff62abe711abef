"""The marker voice: word ``k`` is a burst of two tones that name ``k`` modulo 64.

Every metric about *which words were heard* is measured with it: the caller decodes the words from the tones, needs
no recogniser, and everybody gets the same number. 120 ms of tones and 60 ms of silence per word at 8 kHz.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
Floats = NDArray[np.float64]

RATE_HZ: Final = 8000
WORDS: Final = 64
"""Numbers that the tones can tell apart."""
TONE_SAMPLES: Final = 960
WORD_SAMPLES: Final = 1440
"""Tones and the silence behind them."""
RAMP_SAMPLES: Final = 16

# Eight low and eight high tones inside the telephone band. Steps of 90 Hz and more stay apart in 25 ms; low and high
# differ by 250 Hz and more, so that the envelope has no gap longer than 4 ms.
LOW_HZ: Final = 420.0 + 90.0 * np.arange(8)
HIGH_HZ: Final = 1300.0 + 190.0 * np.arange(8)
AMPLITUDE: Final = 0.24
"""Of each tone: the sum peaks near -6 dBFS."""

ENVELOPE_SAMPLES: Final = 40
FLOOR_DBFS: Final = -52.0
"""Quieter than this is silence …"""
BELOW_PEAK_DB: Final = 36.0
"""… and so is what is that far below the loudest moment."""
BRIDGE_SAMPLES: Final = 240
"""Gaps up to 30 ms (a lost packet) do not end a burst; the silence of a word is twice as long."""
SHORTEST_SAMPLES: Final = 200
"""Less than 25 ms of a word cannot be told apart."""
PURITY: Final = 0.6
"""Share of the energy that the two tones must have."""
WINDOW_SAMPLES: Final = 240
HOP_SAMPLES: Final = 80


def marker_word(k: int) -> Pcm:
    """int16[1440] at 8 kHz: the tones of ``k % 64``, then 60 ms of silence."""
    low, high = divmod(k % WORDS, 8)
    time = np.arange(TONE_SAMPLES) / RATE_HZ
    tones = np.sin(2 * np.pi * LOW_HZ[low] * time) + np.sin(2 * np.pi * HIGH_HZ[high] * time)
    ramp = np.minimum(1.0, np.minimum(np.arange(TONE_SAMPLES) + 1, np.arange(TONE_SAMPLES)[::-1] + 1) / RAMP_SAMPLES)
    word = np.zeros(WORD_SAMPLES, np.int16)
    word[:TONE_SAMPLES] = np.round(tones * ramp * AMPLITUDE * 32767).astype(np.int16)
    return word


def decode_marker(pcm: NDArray[np.int16] | Floats) -> list[tuple[int, int, int]]:
    """Words in ``pcm`` (8 kHz, int16 scale): ``(k, start, end)`` in samples, ``end`` exclusive, in order.

    Edges are right to about 3 ms. Works through mu-law and at 20 dB less than sent; a word cut short is found from
    25 ms on. Sound that is not two marker tones is left out.
    """
    signal = np.asarray(pcm, np.float64)
    found: list[tuple[int, int, int]] = []
    for start, end in _bursts(signal):
        for k, first, last in _words_of(signal[start:end]):
            _append(found, k, start + first, start + last)
    return found


def _append(found: list[tuple[int, int, int]], k: int, start: int, end: int) -> None:
    """Add a word; the same word again after less than a word's silence is one word with a hole in it."""
    if found and found[-1][0] == k and start - found[-1][2] < WORD_SAMPLES - TONE_SAMPLES - ENVELOPE_SAMPLES:
        found[-1] = (k, found[-1][1], end)
    else:
        found.append((k, start, end))


def _bursts(signal: Floats) -> list[tuple[int, int]]:
    """Where there is sound: ``(start, end)`` of each run, short gaps bridged."""
    if signal.size < ENVELOPE_SAMPLES:
        return []
    power = np.convolve(signal * signal, np.ones(ENVELOPE_SAMPLES) / ENVELOPE_SAMPLES, "same")
    floor = max((32768.0 * 10 ** (FLOOR_DBFS / 20)) ** 2, float(power.max()) * 10 ** (-BELOW_PEAK_DB / 10))
    edges = np.flatnonzero(np.diff(np.concatenate(([False], power > floor, [False])).astype(np.int8)))
    runs: list[tuple[int, int]] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and start - runs[-1][1] < BRIDGE_SAMPLES:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    half = ENVELOPE_SAMPLES // 2  # the envelope rises and falls half a window early and late
    trimmed = [(max(0, start + half - 4), min(signal.size, end - half + 4)) for start, end in runs]
    return [(start, end) for start, end in trimmed if end - start >= SHORTEST_SAMPLES]


def _words_of(burst: Floats) -> list[tuple[int, int, int]]:
    """Words of one run of sound; more than one where a word was cut and the next began at once."""
    whole = _decode(burst) if burst.size <= _LONGEST_PIECE else None
    if whole is not None:
        return [(whole, 0, burst.size)]
    words: list[tuple[int, int, int]] = []
    for start in range(0, burst.size - WINDOW_SAMPLES + 1, HOP_SAMPLES):
        k = _decode(burst[start : start + WINDOW_SAMPLES])
        if k is None:
            continue
        middle = start + WINDOW_SAMPLES // 2
        first = 0 if start == 0 else middle - HOP_SAMPLES // 2
        last = min(burst.size, middle + HOP_SAMPLES // 2)
        if words and words[-1][0] == k and first - words[-1][2] <= HOP_SAMPLES:
            words[-1] = (k, words[-1][1], last)
        else:
            words.append((k, first, last))
    if words and burst.size - words[-1][2] < WINDOW_SAMPLES:
        words[-1] = (*words[-1][:2], burst.size)
    return [word for word in words if word[2] - word[1] >= SHORTEST_SAMPLES]


_TONES_HZ: Final = np.concatenate((LOW_HZ, HIGH_HZ))
_LONGEST_PIECE: Final = TONE_SAMPLES + WINDOW_SAMPLES // 2
_PROBES: Final = np.exp(-2j * np.pi * np.outer(_TONES_HZ, np.arange(_LONGEST_PIECE) / RATE_HZ))
"""complex[16, samples]: every tone, to be laid over a piece."""


def _decode(piece: Floats) -> int | None:
    """The number that this piece says, or ``None`` where its energy is not in two marker tones."""
    window = np.hanning(piece.size)
    total = float(np.sum((piece * window) ** 2))
    if total <= 0:
        return None
    spectrum = _PROBES[:, : piece.size] @ (piece * window)
    power = 2 * np.abs(spectrum) ** 2 / window.sum() ** 2 * np.sum(window**2)  # energy of each tone under the window
    low, high = int(np.argmax(power[:8])), int(np.argmax(power[8:]))
    first, second = float(power[low]), float(power[8 + high])
    balanced = min(first, second) > 0.05 * max(first, second)
    return 8 * low + high if balanced and first + second >= PURITY * total else None
