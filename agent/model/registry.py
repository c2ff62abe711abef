"""Models by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent.errors import ConfigError
from agent.model import fakes
from agent.model.moshi.extra import need_extra
from agent.model.names import LISTENING, ModelName, RecogniserName
from agent.model.protocol import DuplexModel

_FAKES: Final[dict[str, Callable[[int], DuplexModel]]] = {
    ModelName.ECHO: fakes.Echo,
    ModelName.SILENT: fakes.Silent,
    ModelName.TALKER: fakes.Talker,
    ModelName.MARKER: fakes.Marker,
    "energy": fakes.EnergyEars,
}


def model_names() -> tuple[str, ...]:
    """Every name that ``build_model`` knows."""
    return (ModelName.SMALL, ModelName.PARTS, ModelName.VAD, *_FAKES)


def listens(name: str) -> bool:
    """Whether ``name`` are ears with a recogniser."""
    return name in LISTENING


def is_folder(name: str) -> bool:
    """Whether ``name`` is a path: then a speech-native model lies there."""
    return "/" in name


def build_model(
    name: str,
    rows: int,
    *,
    recogniser: str = RecogniserName.POCKETSPHINX,
    processes: int = 1,
    sherpa_model: str = "",
    service: str = "",
    weights: str = "",
    device: str = "auto",
    window_s: float = 0.0,
    short_rows: int = 0,
    short_window_s: float = 0.0,
    fp8_kv: bool = False,
) -> DuplexModel:
    """A model for ``rows`` rows: ``parts`` (default ears), ``small`` (the same with our own floor net beside them, from
    ``weights``), ``vad`` (without a recogniser), a folder with a speech-native model (``small`` hears beside it), or a
    fake.

    Raises ``ConfigError`` for an unknown name and ``ModelError`` where it cannot be loaded.
    """

    def small(rows: int) -> DuplexModel:
        from agent.model.parts.ears import open_recogniser
        from agent.model.small.ears import build as build_small

        return build_small(
            rows,
            recogniser=lambda: open_recogniser(recogniser, processes, sherpa_model, service),
            weights=weights,
        )

    if name == ModelName.SMALL:
        return small(rows)
    if name in (ModelName.PARTS, ModelName.VAD):
        from agent.model.parts.ears import build  # heavy: only where it is used

        return build(
            rows,
            recogniser=recogniser if name == ModelName.PARTS else RecogniserName.NONE,
            processes=processes,
            sherpa_model=sherpa_model,
            service=service,
        )
    if is_folder(name):
        need_extra()
        from agent.model.moshi.serve import open_served  # heavy: only where it is used

        return open_served(
            Path(name),
            rows,
            ears=small,
            device=device,
            window_s=window_s,
            short_rows=short_rows,
            short_window_s=short_window_s,
            fp8_kv=fp8_kv,
        )
    if name not in _FAKES:
        raise ConfigError("engine.model", f"{name!r} is unknown; known: {', '.join(model_names())}")
    return _FAKES[name](rows)
