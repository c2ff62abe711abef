"""Clean tracks of one conversation, before any room, line or noise. Sound beyond the end is cut off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.training.conversation.labels import FRAME, Script, Sound, Span, bridged
from agent.training.voices.spoken import Audio, active_runs

NAMES = ("caller", "side", "tv", "noise", "keys", "own")
"""``caller``: the mouth at the phone. ``side``: others in the room. ``own``: our voice as it is played."""


@dataclass(slots=True)
class Tracks:
    """float32[samples] by name."""

    samples: int
    audio: dict[str, Audio]

    @classmethod
    def silent(cls, frames: int) -> Tracks:
        return cls(frames * FRAME, {name: np.zeros(frames * FRAME, np.float32) for name in NAMES})

    def __getitem__(self, name: str) -> Audio:
        return self.audio[name]

    def place(self, name: str, pcm: Audio, at: int) -> Span:
        """Add sound at a sample; returns where it lies, cut at the edges."""
        first, last = max(0, at), min(self.samples, at + pcm.size)
        if last <= first:
            return (first, first)
        self.audio[name][first:last] += pcm[first - at : last - at]
        return (first, last)


def place_sound(tracks: Tracks, script: Script, name: str, pcm: Audio, at: int, sound: Sound) -> Span | None:
    """Add a sound and write down where it is audible; the whole audible span, or ``None`` for nothing."""
    runs = bridged([(at + a, at + b) for a, b in active_runs(pcm)])
    inside = [(max(0, a), min(tracks.samples, b)) for a, b in runs if b > 0 and a < tracks.samples]
    if not inside:
        return None
    tracks.place(name, pcm, at)
    script.sounds += [(sound, span) for span in inside]
    return (inside[0][0], inside[-1][1])
