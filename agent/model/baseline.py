"""Ears that go on with simpler ones inside where their own net cannot serve."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from agent.model.protocol import DuplexModel


@runtime_checkable
class HasBaseline(Protocol):
    """A model that can judge by simpler means than those that were asked for. Optional."""

    @property
    def fallback(self) -> str:
        """Why it does so now; empty: it does not."""
        ...


def fallback_of(model: DuplexModel) -> str:
    """Why the model's simpler ears judge; empty: they do not."""
    return model.fallback if isinstance(model, HasBaseline) else ""
