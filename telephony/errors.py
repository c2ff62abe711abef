"""Errors of the telephony library. The docstring of each is its default message."""

from __future__ import annotations


class TelephonyError(Exception):
    """Something went wrong on a phone line."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class RemoteProtocolError(TelephonyError):
    """The peer broke the protocol."""

    def __init__(self, message: str | None = None, *, status_hint: int = 400, rule: str = "") -> None:
        super().__init__(message)
        self.status_hint = status_hint
        """SIP status to answer with, when an answer is due."""
        self.rule = rule
        """Slug of the broken rule, for logs and counters (for example ``cseq-method-mismatch``)."""


class LocalProtocolError(TelephonyError):
    """We broke the protocol: a bug on our side."""


class MediaError(TelephonyError):
    """The media path cannot do what was asked."""


class TransportClosed(TelephonyError):
    """The transport is closed."""
