"""Session-Expires and Min-SE (RFC 4028 §4-5)."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.errors import RemoteProtocolError
from telephony.sip.grammar import find_param, parse_number, parse_params

MIN_SE_S = 90
"""Nobody may ask for less (RFC 4028 §4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionExpires:
    interval_s: int
    refresher: str = ""
    """``uac``, ``uas`` or ``""`` (the answerer decides)."""

    @classmethod
    def parse(cls, text: str) -> SessionExpires:
        number, semicolon, tail = text.partition(";")
        params = parse_params(semicolon + tail, where="Session-Expires")
        refresher = (find_param(params, "refresher") or "").lower()
        if refresher not in {"", "uac", "uas"}:
            raise RemoteProtocolError("Session-Expires: unknown refresher", rule="bad-session-expires")
        return cls(interval_s=parse_number(number, where="Session-Expires", limit=2**32), refresher=refresher)

    def __str__(self) -> str:
        return f"{self.interval_s};refresher={self.refresher}" if self.refresher else str(self.interval_s)
