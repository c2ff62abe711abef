"""One call = one session: switchboard, engine, brain, voice, store and events."""

from __future__ import annotations

VERSION = "0.1.0"

__all__ = ["VERSION"]
