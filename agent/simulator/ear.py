"""The caller's ear while the call runs: is the agent speaking? Cheap, for forty callers on one core.

Reactions only. What is measured afterwards is measured by the energy rule on the recording.
"""

from __future__ import annotations

import numpy as np

from telephony.audio.g711 import alaw_decode, ulaw_decode

HALF_BYTES = 80
LOUD_AMPLITUDE = 184
"""−45 dBFS."""
LOUD_SAMPLES = 20
"""A 10 ms half packet is loud if a quarter of its samples reach the amplitude (speech at −45 dBFS rms does)."""
ONSET_HALVES = 3
SILENT_S = 0.3
TALK_GAP_S = 0.7
"""Pauses of the agent up to this length do not end what it is saying."""


def _loudness_table(alaw: bool) -> bytes:
    codes = np.arange(256, dtype=np.uint8)
    pcm = alaw_decode(codes) if alaw else ulaw_decode(codes)
    return bytes((np.abs(pcm.astype(np.int32)) >= LOUD_AMPLITUDE).astype(np.uint8))


_TABLES = {False: _loudness_table(False), True: _loudness_table(True)}


class Ear:
    """What the caller knows of the agent, from packets as they arrive."""

    def __init__(self, *, alaw: bool = False) -> None:
        self._table = _TABLES[alaw]
        self._loud_in_a_row = 0
        self.talk_since: float | None = None
        """When the agent began what it is saying, or said last."""
        self.last_loud: float | None = None
        self.loud_halves = 0
        """10 ms pieces of agent speech heard so far."""
        self.talks = 0

    def use_alaw(self, alaw: bool) -> None:
        self._table = _TABLES[alaw]

    def hear(self, at: float, payload: bytes) -> None:
        """A packet that arrived at ``at``."""
        marks = payload.translate(self._table)
        for start in range(0, len(marks), HALF_BYTES):
            if marks.count(1, start, start + HALF_BYTES) < LOUD_SAMPLES:
                self._loud_in_a_row = 0
                continue
            self._loud_in_a_row += 1
            if self._loud_in_a_row >= ONSET_HALVES:
                self._speech(at + start / 8000)

    def _speech(self, at: float) -> None:
        if self.last_loud is None or at - self.last_loud > TALK_GAP_S:
            self.talk_since = at - (ONSET_HALVES - 1) * 0.01
            self.talks += 1
        self.last_loud = at
        self.loud_halves += 1

    def speaking(self, now: float) -> bool:
        return self.last_loud is not None and now - self.last_loud < SILENT_S

    def spoken_for(self, now: float) -> float:
        """Seconds since the agent began, if it is speaking; else 0."""
        if self.talk_since is None or not self.speaking(now):
            return 0.0
        return now - self.talk_since

    def silent_for(self, now: float) -> float:
        """Seconds since the agent's last sound; infinite if it never spoke."""
        return float("inf") if self.last_loud is None else now - self.last_loud
