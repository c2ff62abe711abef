"""CSeq (RFC 3261 §20.16)."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.errors import RemoteProtocolError
from telephony.sip.grammar import is_token, parse_number


@dataclass(frozen=True, slots=True, kw_only=True)
class CSeq:
    number: int
    """Below 2**32 (RFC 3261 §8.1.1.5)."""
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        fields = text.split()
        if len(fields) != 2 or not is_token(fields[1]):
            raise RemoteProtocolError("CSeq: malformed", rule="bad-cseq")
        return cls(number=parse_number(fields[0], where="CSeq", limit=2**32), method=fields[1])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"
