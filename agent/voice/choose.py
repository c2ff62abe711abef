"""Which voice is live, and why."""

from __future__ import annotations

from dataclasses import dataclass

from agent.config import VoiceConfig
from agent.errors import ConfigError
from agent.voice import flite, pico

DEFAULT_NAMES = {"flite": "rms", "pico": "en-US", "marker": ""}
"""The best of each engine on a telephone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An engine, its voice, and the reason."""

    engine: str
    name: str
    why: str

    @property
    def label(self) -> str:
        """``flite:rms``, ``marker``."""
        return f"{self.engine}:{self.name}" if self.name else self.engine


def choose(config: VoiceConfig) -> Choice:
    """The voice for this host. Raises ``ConfigError`` when what was asked for cannot be had."""
    if config.engine == "auto":
        return _automatic(config.name)
    name = config.name or DEFAULT_NAMES[config.engine]
    known = {"flite": flite.NAMES, "pico": pico.NAMES, "marker": ("",)}[config.engine]
    if name not in known:
        raise ConfigError("voice.name", f"{config.engine} has no voice {name!r}; known: {', '.join(known)}")
    absent = _missing(config.engine, name)
    if absent is not None:
        advice = "install the Debian package libflite1" if config.engine == "flite" else "pip install py-nanotts"
        raise ConfigError("voice.engine", f"{config.engine} cannot be had: {absent}; {advice}")
    return Choice(engine=config.engine, name=name, why="asked for by voice.engine")


def _automatic(name: str) -> Choice:
    """flite for its exact word times where the host has it, else Pico; a name decides for its own engine."""
    if name and name not in (*flite.NAMES, *pico.NAMES):
        raise ConfigError("voice.name", f"no voice {name!r}; known: {', '.join((*flite.NAMES, *pico.NAMES))}")
    if name not in pico.NAMES:
        wanted = name or DEFAULT_NAMES["flite"]
        absent = flite.missing(wanted)
        if absent is None:
            return Choice(engine="flite", name=wanted, why="libflite1 is present: exact word times")
        why = f"libflite1 is absent ({absent}): word times are estimated inside a clause"
    else:
        absent, why = None, f"voice.name = {name} is a voice of pico"
    no_pico = pico.missing()
    if no_pico is not None:
        raise ConfigError("voice.engine", f"no voice: {absent or 'flite was not asked for'}; {no_pico}")
    return Choice(engine="pico", name=name if name in pico.NAMES else DEFAULT_NAMES["pico"], why=why)


def _missing(engine: str, name: str) -> str | None:
    if engine == "flite":
        return flite.missing(name)
    return pico.missing() if engine == "pico" else None
