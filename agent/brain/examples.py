"""Where the shipped examples are: beside the code in an installed wheel, under ``deploy/`` in a checkout."""

from __future__ import annotations

from pathlib import Path

from agent.errors import ConfigError

_AGENT = Path(__file__).resolve().parent.parent
_PLACES = (_AGENT / "_examples", _AGENT.parent / "deploy" / "examples")


def example_path(name: str) -> Path:
    """Folder of an example (``parcel``); raises ``ConfigError`` where there is none of that name."""
    for place in _PLACES:
        if (place / name).is_dir():
            return place / name
    known = sorted({path.name for place in _PLACES if place.is_dir() for path in place.iterdir() if path.is_dir()})
    raise ConfigError(f"example {name}", f"not found; there are: {', '.join(known) or 'none'}")
