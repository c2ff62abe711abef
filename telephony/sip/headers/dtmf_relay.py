"""application/dtmf-relay and application/dtmf bodies of INFO: one key each (a vendor form; RFC 6086 leaves it open)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from telephony.errors import RemoteProtocolError

_SIGNAL = re.compile(rb"^\s*Signal\s*=\s*([0-9A-Da-d*#]{1,2})\s*$", re.MULTILINE | re.IGNORECASE)
_DURATION = re.compile(rb"^\s*Duration\s*=\s*([0-9]{1,5})\s*$", re.MULTILINE | re.IGNORECASE)
_PLAIN = re.compile(rb"\s*([0-9A-Da-d*#]{1,2})\s*\Z")
_BY_NUMBER = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}
DEFAULT_DURATION_MS = 100

TYPES = ("application/dtmf-relay", "application/dtmf")


@dataclass(frozen=True, slots=True, kw_only=True)
class DtmfRelay:
    digit: str
    """One of ``0-9*#ABCD``."""
    duration_ms: int

    @classmethod
    def parse(cls, body: bytes) -> DtmfRelay:
        """``Signal=5`` with ``Duration=160``, or the bare key; numbers 10 to 15 are ``*#ABCD``."""
        body = body[:1024]
        found = _SIGNAL.search(body) or _PLAIN.match(body)
        if found is None:
            raise RemoteProtocolError("dtmf-relay: no key", rule="bad-dtmf-relay")
        digit = found.group(1).decode().upper()
        digit = _BY_NUMBER.get(digit, digit)
        if len(digit) != 1:
            raise RemoteProtocolError("dtmf-relay: unknown key", rule="bad-dtmf-relay")
        duration = _DURATION.search(body)
        return cls(digit=digit, duration_ms=int(duration.group(1)) if duration else DEFAULT_DURATION_MS)

    def __bytes__(self) -> bytes:
        return f"Signal={self.digit}\r\nDuration={self.duration_ms}\r\n".encode()
