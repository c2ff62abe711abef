"""Shape of a hybrid model. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STEP_MS: Final = 80
PHONE_HZ: Final = 8000
IN_HZ: Final = 16_000
OUT_HZ: Final = 22_050
STEP_SAMPLES: Final = PHONE_HZ * STEP_MS // 1000
HOP: Final = IN_HZ // 100
"""Samples between two frames of features: 10 ms."""
FRAME: Final = 2 * HOP
FRAMES: Final = STEP_MS // 10
"""Frames of features in a step."""
OUT_SAMPLES: Final = OUT_HZ * STEP_MS // 1000
BLANK: Final = 0
"""Token of the caller's text that says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridConfig:
    """Test size; the published one has a width of 4480 and 56 layers."""

    width: int = 48
    layers: str = "rrarra"
    """``r``: recurrent, ``a``: attention."""
    state: int = 64
    """Channels of a recurrent layer."""
    heads: int = 4
    groups: int = 2
    """Heads of keys and values: each serves ``heads / groups`` heads of queries."""
    window: int = 25
    """Steps that an attention layer remembers; recurrent layers remember all, in fixed size."""
    bands: int = 20
    text_card: int = 32
    heard_card: int = 24
    books: int = 4
    card: int = 16
    temperature: float = 0.8

    @property
    def head_dim(self) -> int:
        return self.width // self.heads
