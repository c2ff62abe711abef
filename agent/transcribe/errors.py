"""Why a recording is not transcribed."""

from __future__ import annotations

from agent.errors import AgentError


class TranscriptFailed(AgentError):
    """The recording could not be transcribed."""
