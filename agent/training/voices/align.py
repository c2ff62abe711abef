"""Word times for a voice that gives none: laid along a voice that does, by dynamic time warping near the estimate.

Measured on four voices with true times (30 texts each; ends of words, ms, median / 90 %): estimate 68-80 / 172-198,
aligned to flite ``kal`` 11-17 / 37-110; 20 ms CPU a text.

Free warping loses itself in pauses that differ (90 % within 424 ms, speech_parts.md 2c); held within ``REACH`` of the
times that lengths and pauses suggest it cannot.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.model.small.features import HOP, decibels, log_mel
from agent.training.voices.spoken import Audio, Spoken, Word
from agent.training.voices.synth import Synth

REACH: Final = 28
"""Frames of 10 ms to either side of the estimate."""
CEPSTRA: Final = 13
MOST_WORDS: Final = 30
STAYS, SKIPS = 0.6, 0.6
"""Extra cost of a reference frame that is held or skipped."""
Floats = NDArray[np.float64]


def aligned(guess: Spoken, reference: Spoken) -> Spoken:
    """``guess`` with its times moved to where ``reference`` has the same words; unchanged where the words differ."""
    if len(guess.words) != len(reference.words) or not 2 <= len(guess.words) <= MOST_WORDS:
        return guess
    heard, known = _cepstra(guess.pcm), _cepstra(reference.pcm)
    if len(heard) < 8 or len(known) < 8:
        return guess
    guide = _guide(guess, reference, len(heard), len(known))
    path = _path(heard, known, guide)
    words: list[Word] = []
    for word, model in zip(guess.words, reference.words, strict=True):
        start = int(np.searchsorted(path, model.start // HOP, side="left")) * HOP
        end = int(np.searchsorted(path, -(-model.end // HOP), side="left")) * HOP
        start = min(max(start, words[-1].end if words else 0), guess.pcm.size - 1)
        words.append(Word(word.text, start, min(max(end, start + HOP), guess.pcm.size)))
    return Spoken(guess.pcm, tuple(words), exact=False)


def _cepstra(pcm: Audio) -> Floats:
    """``[frames, 13]``: shape of the spectrum, without the voice's own colour."""
    mel = decibels(log_mel(pcm)).astype(np.float64)
    bands = mel.shape[1]
    basis = np.cos(np.pi / bands * np.outer(np.arange(bands) + 0.5, np.arange(CEPSTRA)))
    found = mel @ basis / bands
    return np.asarray((found - found.mean(axis=0)) / (found.std(axis=0) + 1e-6), np.float64)


def _guide(guess: Spoken, reference: Spoken, heard: int, known: int) -> Floats:
    """For each heard frame the reference frame that the estimate suggests."""
    at = [0.0, *(word.end / HOP for word in guess.words[:-1]), float(heard)]
    to = [0.0, *(word.end / HOP for word in reference.words[:-1]), float(known)]
    return np.interp(np.arange(heard), np.maximum.accumulate(at), np.maximum.accumulate(to))


def _path(heard: Floats, known: Floats, guide: Floats) -> NDArray[np.int64]:
    """The reference frame of each heard frame: cheapest way with steps of 0, 1 or 2 within ``REACH`` of the guide."""
    width = 2 * REACH + 1
    first = np.clip(np.rint(guide).astype(int) - REACH, 0, max(0, len(known) - width))
    width = min(width, len(known))
    cost = np.full(width, np.inf)
    cost[: min(3, width)] = 0 if first[0] == 0 else np.inf
    cost[cost == np.inf] = 1e6
    back = np.zeros((len(heard), width), np.int8)
    padded = np.full(width + 4, 1e9)
    for index in range(len(heard)):
        shift = int(first[index] - first[index - 1]) if index else 0
        padded[2 : 2 + width] = cost
        moved = np.full(width + 2, 1e9)  # cost of arriving from reference frame j - 2 … j, in this frame's window
        low = 2 + shift - 2
        take = padded[max(0, low) : low + width + 2]
        moved[: take.size] = take if low >= 0 else moved[: take.size]
        ways = np.stack((moved[2 : 2 + width] + STAYS, moved[1 : 1 + width], moved[:width] + SKIPS))
        choice = np.argmin(ways, axis=0)
        window = known[first[index] : first[index] + width]
        distance = np.sqrt(np.mean(np.square(window - heard[index]), axis=1))
        cost = ways[choice, np.arange(width)] + distance
        back[index] = choice
    path = np.zeros(len(heard), np.int64)
    place = int(min(width - 1, max(0, len(known) - 1 - first[-1])))
    for index in range(len(heard) - 1, -1, -1):
        path[index] = first[index] + place
        before = first[index] + place - int(back[index, place])
        if index:
            place = int(np.clip(before - first[index - 1], 0, width - 1))
    return np.maximum.accumulate(path)


class Aligned:
    """A voice without word times, with those of ``reference``."""

    def __init__(self, synth: Synth, reference: Synth) -> None:
        self._synth, self._reference = synth, reference

    def say(self, text: str, *, pace: float = 1.0, pitch: float = 1.0, mark: str = ".") -> Spoken:
        said = self._synth.say(text, pace=pace, pitch=pitch, mark=mark)
        return aligned(said, self._reference.say(text, pace=pace, mark=mark))
