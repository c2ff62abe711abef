"""What codecs do to speech: G.711 exactly, the sound of a low-rate mobile codec roughly. Pure numpy."""

from __future__ import annotations

import numpy as np

from agent.training.channel.room import band
from agent.training.voices.spoken import Audio
from telephony.audio.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from telephony.audio.levels import to_float, to_int16

Rng = np.random.Generator
FRAME = 160
"""20 ms: a mobile codec's frame."""


def g711(pcm: Audio, *, alaw: bool) -> Audio:
    """Through G.711 and back."""
    samples = np.ascontiguousarray(to_int16(pcm))
    return to_float(alaw_decode(alaw_encode(samples)) if alaw else ulaw_decode(ulaw_encode(samples)))


def mobile(pcm: Audio, rng: Rng) -> Audio:
    """Like a low-rate mobile call: a narrow band, a spectrum in coarse steps every 20 ms, the weak bins replaced.

    Not AMR: its excitation is imitated by what it does to the log spectrum, coarser at lower ``steps``.
    """
    narrow = band(pcm, rng.uniform(180, 320), rng.uniform(2900, 3500))
    step_db, keep_db = rng.uniform(1.5, 5.0), rng.uniform(18, 34)
    window = np.sin(np.pi * (np.arange(2 * FRAME) + 0.5) / (2 * FRAME))
    padded = np.concatenate((np.zeros(FRAME, np.float32), narrow, np.zeros(2 * FRAME, np.float32)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * FRAME)[::FRAME] * window
    spectrum = np.fft.rfft(frames, axis=1)
    size_db = 20 * np.log10(np.abs(spectrum) + 1e-7)
    coarse_db = np.round(size_db / step_db) * step_db
    weak = size_db < size_db.max(axis=1, keepdims=True) - keep_db
    phase = np.angle(spectrum)
    phase[weak] = rng.uniform(-np.pi, np.pi, int(weak.sum()))
    back = np.fft.irfft(10 ** (coarse_db / 20) * np.exp(1j * phase), 2 * FRAME, axis=1) * window
    out = np.zeros((len(back) + 1) * FRAME)
    out[:-FRAME] += back[:, :FRAME].reshape(-1)
    out[FRAME:] += back[:, FRAME:].reshape(-1)
    return out[FRAME : FRAME + pcm.size].astype(np.float32)
