"""Via (RFC 3261 §20.42) with received and rport (RFC 3581)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from telephony.errors import RemoteProtocolError
from telephony.sip.grammar import HOST, TOKEN, Params, find_param, format_params, parse_params, split_list
from telephony.sip.headers.uri import bracketed

COOKIE = "z9hG4bK"
"""Branches of RFC 3261 start with it (§8.1.1.7)."""

_SENT = re.compile(
    rf"\s*SIP\s*/\s*([0-9]+\.[0-9]+)\s*/\s*({TOKEN})\s+({HOST})\s*(?::\s*([0-9]{{1,5}})\s*)?(;.*)?\Z",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Via:
    """One hop."""

    transport: str
    host: str
    """Without brackets."""
    port: int | None = None
    params: Params = ()

    @property
    def branch(self) -> str:
        return find_param(self.params, "branch") or ""

    @property
    def has_cookie(self) -> bool:
        """Whether the branch is unique by RFC 3261 (else match by the rules of RFC 2543)."""
        return self.branch.startswith(COOKIE)

    @property
    def wants_rport(self) -> bool:
        return find_param(self.params, "rport") is not None

    @property
    def sent_by(self) -> str:
        return f"{self.host.lower()}:{self.port or 5060}"

    @classmethod
    def parse(cls, text: str) -> Via:
        found = _SENT.match(text)
        if found is None:
            raise RemoteProtocolError("Via: malformed", rule="bad-via")
        version, transport, host, port, params = found.groups()
        if version != "2.0":
            raise RemoteProtocolError("Via: version is not 2.0", rule="bad-via", status_hint=505)
        if port is not None and not 0 < int(port) < 65536:
            raise RemoteProtocolError("Via: bad port", rule="bad-via")
        return cls(
            transport=transport.upper(),
            host=host.strip("[]"),
            port=int(port) if port else None,
            params=parse_params(params or "", where="Via"),
        )

    @classmethod
    def parse_list(cls, values: list[str]) -> tuple[Via, ...]:
        """All hops in order, topmost first."""
        return tuple(cls.parse(item) for value in values for item in split_list(value, where="Via"))

    def stamped(self, source: tuple[str, int]) -> Via:
        """What a server notes in the topmost Via: where the packet came from (RFC 3261 §18.2.1, RFC 3581 §4)."""
        ip, port = source
        params: list[tuple[str, str | None]] = [
            (name, value) for name, value in self.params if name.lower() not in {"received", "rport"}
        ]
        if self.wants_rport:
            params.append(("rport", str(port)))
        if self.wants_rport or self.host != ip:
            params.append(("received", ip))
        return replace(self, params=tuple(params))

    def __str__(self) -> str:
        port = f":{self.port}" if self.port is not None else ""
        return f"SIP/2.0/{self.transport} {bracketed(self.host)}{port}{format_params(self.params)}"
