"""Why a model is not pulled."""

from __future__ import annotations

from agent.errors import AgentError


class PullFailed(AgentError):
    """The model could not be pulled."""
