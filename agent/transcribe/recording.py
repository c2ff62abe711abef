"""A recording as one array per speaker at 16 kHz."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.transcribe.errors import TranscriptFailed
from telephony.audio.resample import Resampler

RATE_HZ: Final = 16_000
RATES_HZ: Final = (8_000, 16_000, 32_000, 48_000)
SPEAKERS: Final = {1: ("call",), 2: ("caller", "agent")}
"""By the number of channels; our own recordings hold the caller on the left."""
_BLOCK_S: Final = 0.02

Sound = NDArray[np.float32]
"""[samples] in [-1, 1] at 16 kHz."""


def read_recording(path: Path) -> dict[str, Sound]:
    """Speaker to sound. Raises ``TranscriptFailed`` with what is wrong with the file."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, rate_hz, width = file.getnchannels(), file.getframerate(), file.getsampwidth()
            if channels not in SPEAKERS or width != 2 or rate_hz not in RATES_HZ:
                raise TranscriptFailed(
                    f"{path}: {channels} channels of {8 * width} bits at {rate_hz} Hz; wanted are 1 or 2 channels of "
                    f"16 bits at {', '.join(str(rate) for rate in RATES_HZ)} Hz"
                )
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as wrong:
        raise TranscriptFailed(f"{path} is no WAV file that can be read: {wrong or 'it ends too early'}") from None
    whole = len(data) // (2 * channels) * channels * 2
    frames = np.frombuffer(data[:whole], "<i2").reshape(-1, channels)
    return {name: to_16_khz(frames[:, n], rate_hz) for n, name in enumerate(SPEAKERS[channels])}


def to_16_khz(samples: NDArray[np.int16], rate_hz: int) -> Sound:
    """``samples`` [n] at one of ``RATES_HZ`` → [n · 16000 / rate_hz]."""
    sound = samples.astype(np.float32) / 32768.0
    if rate_hz == RATE_HZ or not sound.size:
        return sound
    block = round(rate_hz * _BLOCK_S)
    resampler = Resampler(rate_hz, RATE_HZ, rows=1, samples=block)
    padded = np.zeros((-(-sound.size // block), 1, block), np.float32)
    padded.reshape(-1)[: sound.size] = sound
    out = np.concatenate([resampler.process(piece)[0] for piece in padded])
    return np.asarray(out[: sound.size * RATE_HZ // rate_hz], np.float32)
