"""Ways to make one voice into many: pitch by resampling, formants by bending the spectral envelope, time by WSOLA.

Each returns new audio and keeps the words at their places. 8 kHz, pure numpy, whole utterances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.training.voices.spoken import Audio, Spoken, scaled_times

WINDOW: Final = 256
HOP: Final = 64
LIFTER: Final = 22
"""Cepstral coefficients of the envelope: 2.7 ms, shorter than a pitch period up to 360 Hz."""
TAPER: Final = 12
"""The top twelfth of the band fades out."""
FRAME, STEP, SEARCH = 240, 120, 60
"""WSOLA: 30 ms windows, half overlapped, aligned within 7.5 ms."""
_HANN: Final = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
_FADE: Final = np.hanning(FRAME + 1)[:-1].astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Warp:
    """How a voice is changed; 1 leaves it as it is."""

    pitch: float = 1.0
    formant: float = 1.0
    """Frequencies of the formants."""
    tempo: float = 1.0
    """Speed."""
    tilt_db: float = 0.0
    """Level at 4 kHz against 0 Hz."""
    breath: float = 0.0
    """Share of noise that follows the speech."""


def warped(spoken: Spoken, warp: Warp, rng: np.random.Generator) -> Spoken:
    """The same words in a changed voice."""
    pcm, exact = spoken.pcm, spoken.exact
    if pcm.size < WINDOW:
        return spoken
    if abs(warp.pitch - 1) > 0.005:
        pcm = resampled(pcm, round(pcm.size / warp.pitch))
    bend = warp.formant / warp.pitch
    if abs(bend - 1) > 0.01 or warp.tilt_db or warp.breath:
        pcm = reshaped(pcm, bend, warp.tilt_db, warp.breath, rng)
    wanted = round(spoken.pcm.size / warp.tempo)
    if abs(wanted / pcm.size - 1) > 0.01:
        pcm = stretched(pcm, wanted / pcm.size)
    return Spoken(pcm, scaled_times(spoken.words, pcm.size / spoken.pcm.size), exact)


def resampled(pcm: NDArray[np.floating], length: int) -> Audio:
    """``pcm`` in ``length`` samples by its spectrum: exact for what fits into the band, nothing folds down."""
    pad = 64
    scale = length / pcm.size
    extra = round(pad * scale)
    padded = np.concatenate((np.zeros(pad), pcm, np.zeros(pad)))
    total = length + 2 * extra
    spectrum = np.fft.rfft(padded)
    kept = np.zeros(total // 2 + 1, np.complex128)
    count = min(kept.size, spectrum.size)
    kept[:count] = spectrum[:count]
    edge = count // TAPER  # a soft edge: a hard one would ring into the silence around a word
    kept[count - edge : count] *= np.cos(np.linspace(0, np.pi / 2, edge)) ** 2
    out = np.fft.irfft(kept, total) * (total / padded.size)
    return out[extra : extra + length].astype(np.float32)


def reshaped(pcm: Audio, bend: float, tilt_db: float, breath: float, rng: np.random.Generator) -> Audio:
    """Formants moved by ``bend`` with the pitch left alone; spectral tilt; breath that follows the speech."""
    frames = _framed(pcm)
    spectrum = np.fft.rfft(frames * _HANN, axis=1)
    log_size = np.log(np.abs(spectrum) + 1e-6)
    gain = np.linspace(0, tilt_db * np.log(10) / 20, spectrum.shape[1])[None, :]
    if abs(bend - 1) > 0.01:
        cepstrum = np.fft.irfft(log_size, axis=1)
        cepstrum[:, LIFTER : WINDOW - LIFTER + 1] = 0
        envelope = np.fft.rfft(cepstrum, axis=1).real
        bins = np.arange(envelope.shape[1])
        source = np.clip(bins / bend, 0, bins[-1])
        low = np.floor(source).astype(int)
        part = source - low
        moved = envelope[:, low] * (1 - part) + envelope[:, np.minimum(low + 1, bins[-1])] * part
        gain = gain + np.clip(moved - envelope, -3.5, 3.5)
    if breath:
        noise = rng.standard_normal(spectrum.shape) + 1j * rng.standard_normal(spectrum.shape)
        spectrum = spectrum + breath * np.abs(spectrum) * noise
    return _overlapped(np.fft.irfft(spectrum * np.exp(gain), axis=1), pcm.size)


def stretched(pcm: Audio, factor: float) -> Audio:
    """``factor`` times as long at the same pitch."""
    length = round(pcm.size * factor)
    if pcm.size < FRAME + 2 * SEARCH:
        return resampled(pcm, length)
    padded = np.concatenate((np.zeros(SEARCH + STEP, np.float32), pcm, np.zeros(FRAME + 2 * SEARCH + STEP, np.float32)))
    out = np.zeros(length + 2 * FRAME, np.float32)
    target = padded[SEARCH : SEARCH + FRAME]
    for place in range(0, length + STEP, STEP):
        ideal = int(place / factor)
        if ideal + FRAME + 2 * SEARCH + STEP > padded.size:
            break
        region = padded[ideal : ideal + FRAME + 2 * SEARCH]
        match = np.correlate(region[: STEP + 2 * SEARCH], target[:STEP], "valid")
        at = ideal + int(np.argmax(match))
        out[place : place + FRAME] += padded[at : at + FRAME] * _FADE
        target = padded[at + STEP : at + STEP + FRAME]
    return out[STEP : STEP + length]


def _framed(pcm: Audio) -> NDArray[np.float32]:
    count = -(-(pcm.size + WINDOW) // HOP)
    padded = np.zeros((count - 1) * HOP + WINDOW, np.float32)
    padded[WINDOW - HOP : WINDOW - HOP + pcm.size] = pcm
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]


def _overlapped(frames: NDArray[np.floating], length: int) -> Audio:
    """Weighted overlap-add: squares of the windows add up to 1.5 for a quarter's hop."""
    weighted = (frames * _HANN / 1.5).astype(np.float32)
    count = len(weighted)
    out = np.zeros((count + WINDOW // HOP) * HOP, np.float32)
    for part in range(WINDOW // HOP):
        piece = weighted[:, part * HOP : (part + 1) * HOP].reshape(-1)
        out[part * HOP : part * HOP + piece.size] += piece
    return out[WINDOW - HOP : WINDOW - HOP + length]
