"""From, To, Contact, Route, Record-Route, Refer-To: a display name, a URI and parameters (RFC 3261 §20.10)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from telephony.errors import RemoteProtocolError
from telephony.sip.grammar import (
    QUOTED,
    TOKEN,
    Params,
    find_param,
    format_params,
    parse_params,
    quote,
    split_list,
    unquote,
)
from telephony.sip.headers.uri import Uri

# No space is asked for between a token name and "<" (RFC 4475 §3.1.1.6).
_BRACKETED = re.compile(rf"\s*({QUOTED}|(?:{TOKEN}\s*)*+)\s*<([^<>]*+)>\s*(.*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class NameAddr:
    """``"Name" <uri>;params``."""

    uri: Uri
    display: str = ""
    """Without quotes."""
    params: Params = ()

    @property
    def tag(self) -> str:
        """The tag, ``""`` if absent (RFC 2543 peers)."""
        return find_param(self.params, "tag") or ""

    def param(self, name: str) -> str | None:
        return find_param(self.params, name)

    @classmethod
    def parse(cls, text: str, *, where: str) -> NameAddr:
        """Raises ``RemoteProtocolError`` naming the header ``where``."""
        found = _BRACKETED.match(text)
        if found is not None:
            name, uri, tail = found.groups()
            params = parse_params(tail, where=where)
            return cls(uri=Uri.parse(uri.strip(), where=where), display=unquote(name.strip()), params=params)
        # Without <> whatever follows ";" belongs to the header, and "?" or "," may not appear (RFC 3261 §20).
        addr, semicolon, tail = text.strip().partition(";")
        addr = addr.strip()
        if "?" in addr or "," in addr:
            raise RemoteProtocolError(f"{where}: URI needs angle brackets", rule="uri-needs-brackets")
        return cls(uri=Uri.parse(addr, where=where), params=parse_params(semicolon + tail, where=where))

    @classmethod
    def parse_list(cls, values: list[str], *, where: str) -> tuple[NameAddr, ...]:
        """All items of all header lines in order; an empty line counts as no item."""
        return tuple(
            cls.parse(item, where=where) for value in values if value for item in split_list(value, where=where)
        )

    def __str__(self) -> str:
        name = f"{quote(self.display)} " if self.display else ""
        return f"{name}<{self.uri}>{format_params(self.params)}"
