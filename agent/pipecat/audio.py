"""Audio of a service to telephone speech: 8 kHz, levels bent, silence at both edges left out. Pure, streaming."""

from __future__ import annotations

from typing import Final

import numpy as np

from agent.voice.shape import RATE_HZ, Pcm, limit
from telephony.audio.resample import Resampler

BLOCK_MS: Final = 10
BLOCK: Final = RATE_HZ * BLOCK_MS // 1000
QUIET_RMS: Final = 90.0
"""Of a block: quieter is silence at the edge of a clause."""
KEPT_TAIL: Final = 4
"""Quiet blocks that stay behind the last sound."""
SCALE: Final = 32768.0


class Intake:
    """int16 of ``rate_hz``, any number of bytes at a time, to 8 kHz."""

    def __init__(self, rate_hz: int) -> None:
        self._block = rate_hz * BLOCK_MS // 1000
        self._resampler = Resampler(rate_hz, RATE_HZ, rows=1, samples=self._block) if rate_hz != RATE_HZ else None
        self._held = b""

    def push(self, data: bytes) -> Pcm:
        """The blocks that ``data`` completes."""
        data = self._held + data
        whole = len(data) // (2 * self._block) * 2 * self._block
        self._held = data[whole:]
        blocks = np.frombuffer(data[:whole], "<i2").reshape(-1, self._block)
        if self._resampler is None:
            return limit(blocks.ravel().astype(np.float64))
        done = [self._resampler.process(block[None, :].astype(np.float32))[0] for block in blocks]
        return limit(np.concatenate(done).astype(np.float64)) if done else np.zeros(0, np.int16)

    def flush(self) -> Pcm:
        """What was held back, and the filter's second half."""
        return self.push(b"\0" * (2 * self._block * 2 - len(self._held) % (2 * self._block)))


class Trimmer:
    """Leaves out silence before the first sound and behind the last one; whole blocks in."""

    def __init__(self) -> None:
        self._begun = False
        self.lead = 0
        """Samples that were left out before the first sound."""
        self._tail: list[Pcm] = []

    def push(self, pcm: Pcm) -> Pcm:
        out: list[Pcm] = []
        for block in pcm.reshape(-1, BLOCK):
            loud = float(np.sqrt(np.mean(block.astype(np.float64) ** 2))) > QUIET_RMS
            if loud:
                if not self._begun:
                    kept = self._tail[-1:]
                    self.lead += sum(map(len, self._tail)) - sum(map(len, kept))
                    self._tail = kept
                out += self._tail
                out.append(block)
                self._begun, self._tail = True, []
            else:
                self._tail.append(block)
        return np.concatenate(out) if out else np.zeros(0, np.int16)

    def flush(self) -> Pcm:
        tail, self._tail = self._tail[:KEPT_TAIL] if self._begun else [], []
        return np.concatenate(tail) if tail else np.zeros(0, np.int16)
