"""What a row is made to say, beside what it would say by itself. No torch."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from agent.model.protocol import Persona


@dataclass(slots=True)
class RowOrders:
    """Orders to one row, and the persona that it began with."""

    persona: Persona = field(default_factory=Persona)
    forced: deque[tuple[int, ...]] = field(default_factory=deque)
    """Text and codes of the next steps (-2: free)."""
    words: deque[int] = field(default_factory=deque)
    """Text tokens to say when the model opens its mouth."""
    silent: int = 0
    """Steps for which it stays silent."""
