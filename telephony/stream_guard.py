"""Who may open a stream, and how much a client may send. Pure.

A page of any website may open a WebSocket to a machine that its visitor can reach, this one included: a request that
carries an ``Origin`` is refused unless the origin was allowed. Programs send none.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwelcome:
    """Why a request is refused."""

    status: int
    rule: str
    why: str


def unwelcome(headers: Mapping[str, str], *, token: str, allow_origins: tuple[str, ...]) -> Unwelcome | None:
    """The reason to refuse the upgrade, or ``None``. An empty ``token`` lets everybody in."""
    origin = headers.get("Origin")
    if origin is not None and origin not in allow_origins:
        return Unwelcome(
            status=403, rule="stream-origin", why="this origin may not open streams (stream.allow_origins)"
        )
    if not token:
        return None
    given = headers.get("Authorization", "")
    scheme, _, presented = given.partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(presented.strip().encode(), token.encode()):
        why = "the bearer token is wrong" if given else "a bearer token is needed"
        return Unwelcome(status=401, rule="stream-token", why=why)
    return None


class Allowance:
    """A token bucket: ``burst`` at once, ``per_s`` in the long run."""

    def __init__(self, *, per_s: float, burst: float, now: float) -> None:
        self._per_s, self._burst = per_s, burst
        self._left, self._at = burst, now

    def take(self, amount: float, now: float) -> bool:
        """Whether ``amount`` is within the allowance; what is not is not taken from it."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True
