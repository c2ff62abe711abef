"""What can be wrong with training data."""

from __future__ import annotations

from agent.errors import AgentError


class TrainingError(AgentError):
    """Training data cannot be made or read as asked."""
