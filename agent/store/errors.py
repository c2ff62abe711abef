"""Errors that only stores raise."""

from __future__ import annotations

from agent.errors import StoreUnavailable


class StoreRefused(StoreUnavailable):
    """The store is there and cannot be used as it is set up: waiting does not help."""
