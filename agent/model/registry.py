"""Models by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agent.errors import ConfigError
from agent.model import fakes
from agent.model.protocol import DuplexModel

_FAKES: Final[dict[str, Callable[[int], DuplexModel]]] = {
    "echo": fakes.Echo,
    "silent": fakes.Silent,
    "talker": fakes.Talker,
    "marker": fakes.Marker,
    "energy": fakes.EnergyEars,
}


def model_names() -> tuple[str, ...]:
    """Every name that ``build_model`` knows."""
    return ("parts", "vad", *_FAKES)


def build_model(
    name: str,
    rows: int,
    *,
    recogniser: str = "pocketsphinx",
    processes: int = 1,
    sherpa_model: str = "",
    service: str = "",
) -> DuplexModel:
    """A model for ``rows`` rows: ``parts`` (default ears), ``vad`` (the same without a recogniser), or a fake.

    Raises ``ConfigError`` for an unknown name and ``ModelError`` where it cannot be loaded.
    """
    if name in ("parts", "vad"):
        from agent.model.parts.ears import build  # heavy: only where it is used

        return build(
            rows,
            recogniser=recogniser if name == "parts" else "none",
            processes=processes,
            sherpa_model=sherpa_model,
            service=service,
        )
    if name not in _FAKES:
        raise ConfigError("engine.model", f"{name!r} is unknown; known: {', '.join(model_names())}")
    return _FAKES[name](rows)
