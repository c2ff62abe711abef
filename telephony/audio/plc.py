"""Packet loss concealment after ITU-T G.711 Appendix I, for a few lost rows at a time.

The last pitch period before the loss is repeated (one period in the first 10 ms, then two, then three, so that it
does not buzz), from 10 ms on it fades by a fifth each 10 ms, and after 60 ms there is silence.
History is kept for every row and costs one copy per frame; the rest is paid only for rows that lost something.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAME = 160
_KEPT = 3  # frames of history: 480 samples, Appendix I wants 390
_HISTORY = _KEPT * FRAME
_PITCH_MIN, _PITCH_MAX = 40, 120  # samples at 8 kHz: 200 to 66 Hz
_MATCH = 160  # samples that are compared
_STEP = 80  # 10 ms
_BLEND = 40  # samples of overlap where real audio comes back
_SILENT_AFTER = 480  # 60 ms


class Concealer:
    """Concealment state of ``rows`` streams of 20 ms frames."""

    def __init__(self, rows: int) -> None:
        self._past = np.zeros((rows, _KEPT, FRAME), np.int16)
        self._at = 0
        self._lost = np.zeros(rows, np.int64)  # samples concealed in a row so far
        self._pitch = np.full(rows, _PITCH_MAX, np.int64)
        self._source = np.zeros((rows, _HISTORY), np.float32)

    def reset(self, row: int) -> None:
        """Forget the history of one row."""
        self._past[row] = 0
        self._lost[row] = 0

    def accept(self, pcm: NDArray[np.int16]) -> None:
        """Keep one played frame [n, 160] of the first ``n`` rows, real or concealed. Once per tick, last."""
        self._past[: len(pcm), self._at] = pcm
        self._at = (self._at + 1) % _KEPT

    def conceal(self, rows: NDArray[np.intp]) -> NDArray[np.int16]:
        """The next 20 ms [k, 160] of ``rows``, which have lost a frame."""
        fresh = rows[self._lost[rows] == 0]
        if len(fresh):
            self._begin(fresh)
        audio = self._repeat(rows, FRAME)
        self._lost[rows] += FRAME
        return audio.astype(np.int16)

    def recover(self, pcm: NDArray[np.int16], got: NDArray[np.bool_]) -> None:
        """Blend the concealment into real audio ``pcm`` [n, 160] of rows that were lost until now; in place."""
        rows = np.flatnonzero(got & (self._lost[: len(pcm)] > 0))
        if not len(rows):
            return
        weight = np.linspace(0.0, 1.0, _BLEND + 2, dtype=np.float32)[1:-1]
        tail = self._repeat(rows, _BLEND)
        pcm[rows, :_BLEND] = (tail * (1 - weight) + pcm[rows, :_BLEND] * weight).astype(np.int16)
        self._lost[rows] = 0

    def _begin(self, rows: NDArray[np.intp]) -> None:
        order = (self._at + np.arange(_KEPT)) % _KEPT
        past = self._past[rows][:, order].reshape(len(rows), _HISTORY).astype(np.float32)
        self._source[rows] = past
        self._pitch[rows] = _pitch(past)

    def _repeat(self, rows: NDArray[np.intp], samples: int) -> NDArray[np.float32]:
        """Continue the repetition of ``rows`` by [k, samples], faded."""
        lost, pitch = self._lost[rows, None], self._pitch[rows, None]
        at = lost + np.arange(samples)
        periods = np.minimum(1 + lost // _STEP + np.arange(samples) // _STEP, 3)
        cycle = pitch * periods
        index = _HISTORY - cycle + at % cycle
        audio = np.take_along_axis(self._source[rows], index, axis=1)
        fade = np.clip(1.0 - 0.2 * (at - _STEP) / _STEP, 0.0, 1.0)
        fade[at >= _SILENT_AFTER] = 0.0
        return np.asarray(audio * fade, np.float32)


def _pitch(past: NDArray[np.float32]) -> NDArray[np.int64]:
    """Lag [k] of the best normalised match of the last 20 ms of ``past`` [k, 480] with what came before."""
    recent = past[:, -_MATCH:]
    window = np.lib.stride_tricks.sliding_window_view(past, _MATCH, axis=1)
    earlier = window[:, _HISTORY - _MATCH - _PITCH_MAX : _HISTORY - _MATCH - _PITCH_MIN + 1]
    match = np.einsum("kls,ks->kl", earlier, recent)
    energy = np.einsum("kls,kls->kl", earlier, earlier)
    best = np.argmax(match / np.sqrt(energy + 1e3), axis=1)
    return np.asarray(_PITCH_MAX - best, np.int64)
