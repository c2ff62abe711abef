"""Short-lived tokens of the WebRTC door: signed, bound to what they allow, used once. Pure: ``now`` is an argument.

``<kind>.<expiry>.<subject>.<nonce>.<mac>``; the MAC is HMAC-SHA256 over everything before it, so nothing needs to be
stored until a token has been used.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

OFFER, RESUME = "o", "r"
TOKEN_S = 300
MAX_REMEMBERED = 10_000
"""Used tokens that are kept until they expire."""

_FORM = re.compile(
    r"(?P<signed>(?P<kind>[or])\.(?P<expiry>\d{1,12})\.(?P<subject>[0-9a-f]{0,64})\.[0-9a-f]{32})\.(?P<mac>[\w-]{43})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a token is not taken: a rule for the log and an HTTP status."""

    rule: str
    status: int
    text: str


MISSING = Refusal(rule="token-missing", status=401, text="a token is needed: GET /v1/webrtc/token")
INVALID = Refusal(rule="token-invalid", status=401, text="the token is not ours")
EXPIRED = Refusal(rule="token-expired", status=401, text="the token has expired")
USED = Refusal(rule="token-used", status=409, text="the token has been used: two offers need two tokens")


def issue(secret: bytes, *, kind: str, expires_at: float, nonce: str, subject: str = "") -> str:
    """A token. ``nonce``: 32 hex digits of randomness; ``subject``: the leg that a resume token is for."""
    signed = f"{kind}.{int(expires_at)}.{subject}.{nonce}"
    return f"{signed}.{_mac(secret, signed)}"


class Tokens:
    """Checks tokens and remembers the used ones."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._used: dict[str, float] = {}

    def check(self, token: str, *, kind: str, now: float) -> str | Refusal:
        """The token's subject, or why it is refused. A token that is taken is used up."""
        if not token:
            return MISSING
        found = _FORM.fullmatch(token)
        if found is None or found["kind"] != kind:
            return INVALID
        if not hmac.compare_digest(found["mac"], _mac(self._secret, found["signed"])):
            return INVALID
        if now >= int(found["expiry"]):
            return EXPIRED
        if found["signed"] in self._used:
            return USED
        self._remember(found["signed"], int(found["expiry"]), now)
        return found["subject"]

    def _remember(self, signed: str, expiry: float, now: float) -> None:
        if len(self._used) >= MAX_REMEMBERED:
            self._used = {one: until for one, until in self._used.items() if until > now}
        while len(self._used) >= MAX_REMEMBERED:  # a flood of valid tokens: the oldest may be used twice
            self._used.pop(next(iter(self._used)))
        self._used[signed] = expiry


def _mac(secret: bytes, text: str) -> str:
    return base64.urlsafe_b64encode(hmac.new(secret, text.encode(), hashlib.sha256).digest()).decode().rstrip("=")
