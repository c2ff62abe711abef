"""What the configuration calls models and recognisers: the one list of each.

``agent.model.registry`` makes the models, ``agent.model.parts`` the recognisers.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class ModelName(StrEnum):
    """``engine.model``, where it is no folder."""

    SMALL = "small"
    """Our own ears: those of parts, with our floor net beside them."""
    PARTS = "parts"
    """Ears by rules. ``small`` falls back on them where its net cannot serve."""
    VAD = "vad"
    """Voice activity alone."""
    ECHO = "echo"
    TALKER = "talker"
    SILENT = "silent"
    MARKER = "marker"


LISTENING: Final = frozenset({ModelName.SMALL, ModelName.PARTS})
"""Ears with a recogniser."""
MUTE: Final = LISTENING | {ModelName.VAD, ModelName.SILENT}
"""They say nothing of their own."""


class RecogniserName(StrEnum):
    """``ears.recogniser``."""

    POCKETSPHINX = "pocketsphinx"
    WORDS = "words"
    """Our own net."""
    BOTH = "both"
    """The net and PocketSphinx beside it."""
    SHERPA = "sherpa"
    """A streaming model that the operator supplies."""
    PIPECAT = "pipecat"
    """A service that the agent's file names."""
    NONE = "none"
    """Callers have keys only."""


EXPECTING: Final = frozenset({RecogniserName.POCKETSPHINX, RecogniserName.WORDS, RecogniserName.BOTH})
"""They understand what a dialogue expects, and nothing else."""
FREE: Final = frozenset({RecogniserName.SHERPA, RecogniserName.PIPECAT})
"""They write down whatever is said."""
