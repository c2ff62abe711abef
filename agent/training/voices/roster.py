"""Which synthetic voices this host has, and which of them are held out for validation."""

from __future__ import annotations

import ctypes.util
import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from agent.training.errors import TrainingError
from agent.training.fold import Fold, held_out
from agent.training.voices.align import Aligned
from agent.training.voices.espeak_voice import ACCENTS, VARIANTS, EspeakVoice
from agent.training.voices.festival_voice import FUNCTIONS, FestivalVoice
from agent.training.voices.flite_voice import FliteVoice
from agent.training.voices.pico_voice import ENGLISH, RESPELT, PicoVoice
from agent.training.voices.piper_voice import PiperVoice
from agent.training.voices.synth import Cached, Synth
from agent.voice import flite

HELD_OUT: Final = frozenset({"flite:rms", "festival:ked", "pico:en-GB", "pico:it-IT"})
"""Kept for validation as callers (as our own voice the first is used everywhere: it is the product's)."""
ESPEAK_HELD_OUT: Final = 0.1
PIPER_WEIGHT: Final = 1.5
REFERENCE: Final = "flite:kal"
UNTIMED: Final = frozenset({"pico", "piper"})
"""Families that give no word times."""
OWN: Final = ("flite:rms", "flite:rms", "pico:en-US", "flite:slt", "flite:kal", "pico:en-GB", "flite:awb")
"""Voices of our agent; the product's default first and twice."""


@dataclass(frozen=True, slots=True)
class VoiceSpec:
    """One voice."""

    name: str
    """``flite:awb``, ``espeak:en-us+f2``."""
    weight: float
    """How often it is drawn: voices that sound human more often."""
    digits_only: bool = False
    """Says digits, yes and no only."""

    @property
    def family(self) -> str:
        return self.name.partition(":")[0]

    @property
    def held_out(self) -> bool:
        if self.family == "piper":
            return True
        if self.family == "espeak":
            return held_out(self.name, ESPEAK_HELD_OUT)
        return self.name in HELD_OUT


def catalogue() -> tuple[VoiceSpec, ...]:
    """All voices that we know, whether this host has them or not."""
    found = [VoiceSpec(f"flite:{name}", 1.0 if name in {"slt", "rms", "awb"} else 0.5) for name in flite.NAMES]
    found += [VoiceSpec(f"pico:{name}", 1.6) for name in ENGLISH]
    found += [VoiceSpec(f"pico:{name}", 0.5, digits_only=True) for name in RESPELT]
    found += [VoiceSpec(f"festival:{name}", 0.8) for name in FUNCTIONS]
    variants = [f"{accent}+{variant}" if variant else accent for accent in ACCENTS for variant in VARIANTS]
    return (*found, *(VoiceSpec(f"espeak:{name}", 2.6 / len(variants)) for name in variants))


@lru_cache(maxsize=1)
def present() -> tuple[VoiceSpec, ...]:
    """Voices that this host has. Raises ``TrainingError`` if there is none."""
    has: dict[str, Callable[[str], bool]] = {
        "flite": lambda name: flite.missing(name) is None,
        "pico": lambda name: importlib.util.find_spec("py_nanotts") is not None,
        "espeak": lambda name: ctypes.util.find_library("espeak-ng") is not None,
        "festival": lambda name: FUNCTIONS[name] in _festival_has(),
    }
    found = tuple(spec for spec in catalogue() if has[spec.family](spec.name.partition(":")[2]))
    if not found:
        raise TrainingError("no synthetic voice on this host: install libflite1, py-nanotts or espeak-ng")
    return found


def callers(fold: Fold, piper: str = "") -> tuple[VoiceSpec, ...]:
    """Voices of callers in this fold; ``piper``: folder of one more, held out. Raises ``TrainingError`` for none."""
    more = (VoiceSpec(f"piper:{piper}", PIPER_WEIGHT),) if piper else ()
    found = tuple(spec for spec in (*present(), *more) if fold.allows(spec.held_out))
    if not any(not spec.digits_only for spec in found):
        raise TrainingError(
            f"this host has no voice for the fold {fold.value}: install libflite1, festival or espeak-ng"
        )
    return found


def own() -> tuple[str, ...]:
    """Voices of our agent on this host."""
    names = {spec.name for spec in present()}
    return tuple(name for name in OWN if name in names) or tuple(
        spec.name for spec in present() if not spec.digits_only
    )


@lru_cache(maxsize=512)
def synth(name: str) -> Synth:
    """The synthesiser of a voice; one per process. Raises ``VoiceFailed``."""
    family, _, voice = name.partition(":")
    build: dict[str, Callable[[str], Synth]] = {
        "flite": FliteVoice,
        "pico": PicoVoice,
        "espeak": EspeakVoice,
        "festival": FestivalVoice,
        "piper": PiperVoice,
    }
    built = build[family](voice)
    guide = reference() if family in UNTIMED else None
    if guide is not None:
        built = Aligned(built, guide)
    return Cached(built, seconds=60.0 if family == "espeak" else 2400.0)


def reference() -> Synth | None:
    """The voice along which word times of others are found: the quickest with true ones; ``None`` without flite."""
    return synth(REFERENCE) if any(spec.name == REFERENCE for spec in present()) else None


@lru_cache(maxsize=1)
def _festival_has() -> frozenset[str]:
    """Functions of the festival voices that are installed."""
    program = shutil.which("festival")
    if program is None:
        return frozenset()
    try:
        done = subprocess.run(
            (program, "--pipe"), input="(mapcar (lambda (v) (format t \"%s\\n\" v)) (voice.list))\n",
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(f"voice_{line.strip()}" for line in done.stdout.splitlines())
