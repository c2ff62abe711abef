"""SIP URIs (RFC 3261 §19.1) and opaque URIs of other schemes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from telephony.errors import RemoteProtocolError
from telephony.sip.grammar import HOST, Params, escape_user, find_param, format_params, unescape

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):", re.ASCII)
_HOSTPORT = re.compile(rf"({HOST})(?::([0-9]{{1,5}}))?\Z")
_BAD = re.compile(r"[\x00-\x20\x7f<>\"]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Uri:
    """A URI. For schemes other than ``sip`` and ``sips`` only ``scheme`` and ``opaque`` are filled."""

    scheme: str
    user: str = ""
    """Decoded once; a password is kept behind its colon."""
    host: str = ""
    """Name or address literal (IPv6 without brackets), lower case."""
    port: int | None = None
    params: Params = ()
    headers: str = ""
    """What follows ``?``, as written."""
    opaque: str = ""

    @property
    def is_sip(self) -> bool:
        return self.scheme in {"sip", "sips"}

    @property
    def is_loose_router(self) -> bool:
        """Whether it carries ``lr`` (RFC 3261 §16.12)."""
        return self.param("lr") is not None

    def param(self, name: str) -> str | None:
        """Value of a URI parameter, ``""`` for a bare one, ``None`` if absent. Names are decoded once."""
        return find_param(tuple((unescape(key), value) for key, value in self.params), name)

    @classmethod
    def parse(cls, text: str, *, where: str = "URI") -> Uri:
        """Raises ``RemoteProtocolError`` naming ``where``."""
        found = _SCHEME.match(text)
        if found is None or _BAD.search(text):
            raise RemoteProtocolError(f"{where}: bad URI", rule="bad-uri")
        scheme = found.group(1).lower()
        rest = text[found.end() :]
        if scheme not in {"sip", "sips"}:
            if not rest:
                raise RemoteProtocolError(f"{where}: empty URI", rule="bad-uri")
            return cls(scheme=scheme, opaque=rest)
        return cls._parse_sip(scheme, rest, where)

    @classmethod
    def _parse_sip(cls, scheme: str, rest: str, where: str) -> Uri:
        user, at, tail = rest.rpartition("@")  # '@' may stand nowhere else unescaped, ';' and '?' may in the user
        if at and not user:
            raise RemoteProtocolError(f"{where}: empty user part", rule="bad-uri")
        tail, _, headers = tail.partition("?")
        hostport, *raw = tail.split(";")
        found = _HOSTPORT.match(hostport)
        if found is None:
            raise RemoteProtocolError(f"{where}: bad host", rule="bad-uri-host")
        port = int(found.group(2)) if found.group(2) else None
        if port is not None and not 0 < port < 65536:
            raise RemoteProtocolError(f"{where}: bad port", rule="bad-uri-port")
        params = []
        for item in raw:
            name, equals, value = item.partition("=")
            if not name:
                raise RemoteProtocolError(f"{where}: empty URI parameter", rule="bad-uri-parameter")
            params.append((name, value if equals else None))
        host = found.group(1).strip("[]").lower()
        return cls(scheme=scheme, user=unescape(user), host=host, port=port, params=tuple(params), headers=headers)

    def __str__(self) -> str:
        if not self.is_sip:
            return f"{self.scheme}:{self.opaque}"
        user, colon, password = self.user.partition(":")
        userinfo = f"{escape_user(user)}{colon}{escape_user(password)}@" if self.user else ""
        port = f":{self.port}" if self.port is not None else ""
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{userinfo}{bracketed(self.host)}{port}{format_params(self.params)}{headers}"


def bracketed(host: str) -> str:
    """An IPv6 literal in brackets (RFC 5118 §4.1), anything else as it is."""
    return f"[{host}]" if ":" in host else host
