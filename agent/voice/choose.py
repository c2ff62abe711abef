"""Which voice is live, and why."""

from __future__ import annotations

import json
from dataclasses import dataclass

from agent.config import VoiceConfig
from agent.errors import ConfigError
from agent.voice import flite, kokoro, pico, piper

DEFAULT_NAMES = {"flite": "rms", "pico": "en-US", "marker": ""}
"""The best of each engine on a telephone."""
EXACT = ("flite", "marker")
"""Engines that know their word times."""
LOADED = ("kokoro", "piper")
"""Engines that speak with a model of the user's (``voice.model``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An engine, its voice, and the reason."""

    engine: str
    name: str
    why: str
    model: str = ""
    """Folder of an engine that loads files."""
    program: str = ""
    """What is started for a voice that is a program."""

    @property
    def label(self) -> str:
        """``flite:rms``, ``marker``."""
        return f"{self.engine}:{self.name}" if self.name else self.engine

    @property
    def handed(self) -> str:
        """What the voice process is told: the name, or as JSON where there is more."""
        return json.dumps([self.name, self.model, self.program]) if self.engine in LOADED else self.name


def choose(config: VoiceConfig) -> Choice:
    """The voice for this host. Raises ``ConfigError`` when what was asked for cannot be had."""
    if config.engine == "auto":
        return _automatic(config.name)
    if config.engine in LOADED:
        return _loaded(config)
    name = config.name or DEFAULT_NAMES[config.engine]
    known = {"flite": flite.NAMES, "pico": pico.NAMES, "marker": ("",)}[config.engine]
    if name not in known:
        raise ConfigError("voice.name", f"{config.engine} has no voice {name!r}; known: {', '.join(known)}")
    absent = _missing(config.engine, name)
    if absent is not None:
        advice = "install the Debian package libflite1" if config.engine == "flite" else "pip install py-nanotts"
        raise ConfigError("voice.engine", f"{config.engine} cannot be had: {absent}; {advice}")
    return Choice(engine=config.engine, name=name, why="asked for by voice.engine")


def _loaded(config: VoiceConfig) -> Choice:
    """A voice with a model of the user's; asked for by name only, never chosen by ourselves."""
    engine, model = config.engine, config.model
    absent = kokoro.missing(model) if engine == "kokoro" else piper.missing(model, config.program)
    if absent is not None:
        raise ConfigError("voice.engine", f"{engine} cannot be had: {absent}; see docs/howto/models.md")
    why = f"asked for by voice.engine, model {model}"
    if engine == "piper":
        if config.name:
            raise ConfigError("voice.name", "a piper voice is chosen by voice.model")
        name = piper.files_of(model).stem
        return Choice(engine=engine, name=name, why=why, model=model, program=config.program)
    names = kokoro.voice_names(model)
    if config.name and config.name not in names:
        raise ConfigError("voice.name", f"kokoro has no voice {config.name!r}; known: {', '.join(names)}")
    return Choice(engine=engine, name=config.name or kokoro.best_name(model), why=why, model=model)


def _automatic(name: str) -> Choice:
    """flite for its exact word times where the host has it, else Pico; a name decides for its own engine."""
    if name and name not in (*flite.NAMES, *pico.NAMES):
        raise ConfigError("voice.name", f"no voice {name!r}; known: {', '.join((*flite.NAMES, *pico.NAMES))}")
    if name not in pico.NAMES:
        wanted = name or DEFAULT_NAMES["flite"]
        absent = flite.missing(wanted)
        if absent is None:
            return Choice(engine="flite", name=wanted, why="libflite1 is present: exact word times")
        why = f"libflite1 is absent ({absent}): word times are not known by the voice"
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
