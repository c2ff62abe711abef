"""One-time tokens that tie a stream to the call that it was made for. Pure: the caller gives time and nonce.

The voice webhook puts one into the stream's parameters (a stream's URL takes no query); the stream's ``start`` brings
it back. ``expires x nonce x mac``, the MAC over both and the call's id, so that a token is good for one call, for a
minute, once. Who answers a carrier's webhook with another server mints them with the same key.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from telephony.errors import RemoteProtocolError

PARAMETER = "crosstalkToken"
"""Letters and digits only, name and value: Plivo takes no others in its ``extraHeaders``."""
LIFE_S = 60
MAX_REMEMBERED = 100_000
_SHAPE = re.compile(r"([0-9]{1,12})x([0-9a-f]{8,64})x([0-9a-f]{64})\Z")


def mint(key: str, call_id: str, *, now: float, nonce: str) -> str:
    """A token for one call. ``now`` in epoch seconds; ``nonce``: 8 to 64 hexadecimal digits, never used again."""
    expires = int(now) + LIFE_S
    return f"{expires}x{nonce}x{_mac(key, expires, nonce, call_id)}"


class TokenGate:
    """Lets each good token through once."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._used: dict[str, int] = {}
        """MAC to when the token expires."""

    def admit(self, token: str, call_id: str, *, now: float) -> None:
        """Raises ``RemoteProtocolError`` with the rule that refuses the token."""
        found = _SHAPE.match(token)
        if not token or found is None:
            raise RemoteProtocolError(f"{PARAMETER} is missing or malformed", status_hint=403, rule="stream-token")
        expires, nonce, mac = int(found[1]), found[2], found[3]
        if not hmac.compare_digest(_mac(self._key, expires, nonce, call_id), mac):
            raise RemoteProtocolError(
                f"{PARAMETER} is not ours or is of another call", status_hint=403, rule="stream-token-forged"
            )
        if now > expires:
            raise RemoteProtocolError(f"{PARAMETER} has expired", status_hint=403, rule="stream-token-expired")
        if mac in self._used:
            raise RemoteProtocolError(f"{PARAMETER} was used before", status_hint=403, rule="stream-token-replayed")
        self._remember(mac, expires, now)

    def _remember(self, mac: str, expires: int, now: float) -> None:
        if len(self._used) >= MAX_REMEMBERED:
            self._used = {known: until for known, until in self._used.items() if until >= now}
        if len(self._used) >= MAX_REMEMBERED:
            raise RemoteProtocolError("too many streams at once", status_hint=503, rule="stream-token-flood")
        self._used[mac] = expires


def _mac(key: str, expires: int, nonce: str, call_id: str) -> str:
    return hmac.new(key.encode(), f"{expires}x{nonce}x{call_id}".encode(), hashlib.sha256).hexdigest()
