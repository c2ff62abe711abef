"""Errors of webhooks."""

from __future__ import annotations

from agent.errors import AgentError


class WebhookFailed(AgentError):
    """A webhook got no answer."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        """``refused`` (by our guard), ``connection``, ``timeout``, ``too_long`` or ``closed``."""
