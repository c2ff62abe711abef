"""Whether the extra ``gpu`` is installed. Imports none of it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from agent.errors import ModelError

NEEDED: Final = ("torch", "safetensors", "sentencepiece")


def need_extra() -> None:
    """Raises ``ModelError`` with the command that helps."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ModelError(f"{', '.join(missing)} missing: pip install 'crosstalk-voice[gpu]'")
