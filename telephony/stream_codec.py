"""Bytes of a stream to 8 kHz PCM16 and back: G.711 or little-endian PCM16 at 8, 16 or 24 kHz. Pure, one per leg."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from telephony.audio import g711
from telephony.audio.levels import to_float, to_int16
from telephony.audio.resample import Resampler
from telephony.link import FRAME_SAMPLES

RATE_HZ = 8000
PCM_RATES_HZ = (8000, 16000, 24000)
KINDS = ("pcm16", "pcmu", "pcma")
_BLOCK_HZ = 100  # blocks of 10 ms: a client's odd sizes wait for less than one


class StreamCodec:
    """One leg's format, both ways, with what is carried from message to message."""

    def __init__(self, kind: str, rate_hz: int = RATE_HZ) -> None:
        """``kind`` one of ``KINDS``; G.711 at 8 kHz only. Raises ``ValueError``."""
        if kind not in KINDS or rate_hz not in (PCM_RATES_HZ if kind == "pcm16" else (RATE_HZ,)):
            raise ValueError(f"no format {kind!r} at {rate_hz} Hz")
        self.kind, self.rate_hz = kind, rate_hz
        self.bytes_per_s = rate_hz * (2 if kind == "pcm16" else 1)
        self._rest = b""
        self._down = self._up = None
        if rate_hz != RATE_HZ:
            self._down = Resampler(rate_hz, RATE_HZ, rows=1, samples=rate_hz // _BLOCK_HZ)
            self._up = Resampler(RATE_HZ, rate_hz, rows=1, samples=FRAME_SAMPLES)

    def decode(self, data: bytes) -> NDArray[np.int16]:
        """Any number of bytes to PCM16 at 8 kHz; what fills no sample, or no block of another rate, waits."""
        if self.kind != "pcm16":
            code = np.frombuffer(data, np.uint8)
            return g711.ulaw_decode(code) if self.kind == "pcmu" else g711.alaw_decode(code)
        data = self._rest + data
        block = 2 if self._down is None else 2 * self.rate_hz // _BLOCK_HZ
        whole = len(data) // block * block
        self._rest = data[whole:]
        pcm = np.frombuffer(data, "<i2", whole // 2).astype(np.int16, copy=False)
        if self._down is None:
            return pcm
        blocks = to_float(pcm).reshape(-1, 1, block // 2)
        lower = [self._down.process(piece) for piece in blocks]
        return to_int16(np.concatenate(lower, axis=1)[0]) if lower else np.zeros(0, np.int16)

    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        """One frame ``[160]`` at 8 kHz to bytes of 20 ms."""
        if self.kind != "pcm16":
            code = g711.ulaw_encode(pcm) if self.kind == "pcmu" else g711.alaw_encode(pcm)
            return code.tobytes()
        if self._up is not None:
            pcm = to_int16(self._up.process(to_float(pcm)[None, :])[0])
        return pcm.astype("<i2", copy=False).tobytes()
