"""Which voices, speakers and phrases training may use, and which are kept for our own validation.

Disjoint by *speaker*, by *voice* and by *phrase*: three ways to be fooled. A part is a pure function of a name, so that
a new clip or phrase never moves an old one to the other side.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b


class Fold(StrEnum):
    """Which part of the material is drawn from."""

    TRAIN = "train"
    """Everything but what is held out."""
    VALID = "valid"
    """Held-out voices and speakers only; phrases of both sides."""
    DEV = "dev"
    """Held-out voices, and people of the recordings' own split ``dev``: for the card, never to choose by."""
    ALL = "all"
    """Both: for the weights that are shipped, once the choices are made."""

    def allows(self, held_out: bool) -> bool:
        """Whether a voice or speaker may be used."""
        return self is Fold.ALL or held_out is (self in (Fold.VALID, Fold.DEV))

    def allows_phrase(self, held_out: bool) -> bool:
        """Whether a phrase may be used: validation meets known ones too, or it would not sound like a call."""
        return self is not Fold.TRAIN or not held_out


def share(name: str) -> float:
    """A number in [0, 1) that belongs to ``name`` for ever."""
    return int.from_bytes(blake2b(name.encode(), digest_size=6).digest(), "big") / float(1 << 48)


def held_out(name: str, part: float) -> bool:
    """Whether ``name`` is among the ``part`` that is kept for validation."""
    return share(name) < part


PHRASES_HELD_OUT = 0.15
SPEAKERS_HELD_OUT = 0.12
