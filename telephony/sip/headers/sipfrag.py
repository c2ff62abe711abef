"""message/sipfrag bodies of NOTIFY: the status line of the transferred call (RFC 3515 §2.4.5, RFC 3420)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from telephony.errors import RemoteProtocolError

_STATUS = re.compile(rb"\s*SIP/2\.0 ([1-6][0-9][0-9])(?: ([^\r\n]{0,200}))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sipfrag:
    status: int
    reason: str = ""

    @classmethod
    def parse(cls, body: bytes) -> Sipfrag:
        found = _STATUS.match(body)
        if found is None:
            raise RemoteProtocolError("sipfrag: no status line", rule="bad-sipfrag")
        reason = (found.group(2) or b"").decode("utf-8", "replace").strip()
        return cls(status=int(found.group(1)), reason=reason)

    def __bytes__(self) -> bytes:
        return f"SIP/2.0 {self.status} {self.reason}\r\n".encode()
