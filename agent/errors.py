"""Errors of the service. The docstring of each is its default message."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]


class AgentError(Exception):
    """Something went wrong in the agent service."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class ConfigError(AgentError):
    """The configuration cannot be used."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        """Dotted path of the key (``sip.port``) or file and line."""
        self.reason = reason


class AdmissionRefused(AgentError):
    """There is no room for this call."""

    def __init__(self, reason: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(f"refused: {reason}")
        self.reason = reason
        """Slug: ``no_worker pool_full draining no_agent``."""
        self.retry_after_s = retry_after_s


class SeatLost(AgentError):
    """The worker of this call died."""


class DialogueError(AgentError):
    """A dialogue file cannot be used."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        """``file:line``."""
        self.reason = reason


class ToolFailed(AgentError):
    """A tool gave no result."""


class VoiceFailed(AgentError):
    """The voice could not speak this text."""


class ModelError(AgentError):
    """A model cannot be loaded or stepped."""


class StoreUnavailable(AgentError):
    """The store does not answer."""


class Fenced(AgentError):
    """Somebody else owns this call now: nothing of it may be written here."""


def traced(error: BaseException) -> list[str]:
    """Where an error came from, for a log line: types, files and lines, without its message or any value.

    A message may hold what a caller has said. Innermost call last; a group is told by its first error, a cause after
    what it caused.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    found = [type(error).__qualname__, *(f"{_short(at.filename)}:{at.lineno} {at.name}" for at in frames)]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return [*found, *traced(cause)] if cause is not None else found


def _short(filename: str) -> str:
    """The path from the package on."""
    path = Path(filename)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
