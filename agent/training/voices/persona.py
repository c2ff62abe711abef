"""One speaker of a simulated call: a synthetic voice, changed once and kept for the whole call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.training.voices.roster import VoiceSpec, synth
from agent.training.voices.spoken import Spoken, at_level
from agent.training.voices.warp import Warp, warped

LEVEL_DB: Final = -22.0
LEVEL_SPREAD_DB: Final = 1.5
"""From utterance to utterance."""
PACES: Final = (0.75, 0.85, 0.95, 1.0, 1.1, 1.2, 1.35)
PITCHES: Final = (0.85, 0.92, 1.0, 1.08, 1.18)
UNCHANGED: Final = 0.25
"""Share of voices that are left as their maker made them."""


@dataclass(frozen=True, slots=True)
class Persona:
    """A voice and how it is changed."""

    spec: VoiceSpec
    warp: Warp
    pace: float
    pitch: float

    @property
    def name(self) -> str:
        return self.spec.name

    def say(self, text: str, rng: np.random.Generator, *, mark: str = ".") -> Spoken:
        """Words of letters and apostrophes as speech. Raises ``VoiceFailed``."""
        plain = synth(self.spec.name).say(text, pace=self.pace, pitch=self.pitch, mark=mark)
        changed = warped(plain, self.warp, rng)
        level = LEVEL_DB + LEVEL_SPREAD_DB * float(rng.standard_normal())
        return Spoken(at_level(changed.pcm, level), changed.words, changed.exact)


def draw_persona(specs: Sequence[VoiceSpec], rng: np.random.Generator) -> Persona:
    """A speaker for one call."""
    weights = np.array([spec.weight for spec in specs])
    spec = specs[int(rng.choice(len(specs), p=weights / weights.sum()))]
    pace, pitch = float(rng.choice(PACES)), float(rng.choice(PITCHES))
    if rng.random() < UNCHANGED:
        return Persona(spec, Warp(), pace, pitch)
    warp = Warp(
        pitch=float(rng.uniform(0.86, 1.18)),
        formant=float(rng.uniform(0.88, 1.14)),
        tempo=float(rng.uniform(0.88, 1.14)),
        tilt_db=float(rng.uniform(-6, 4)),
        breath=float(rng.choice((0.0, 0.0, 0.03, 0.08))),
    )
    return Persona(spec, warp, pace, pitch)
