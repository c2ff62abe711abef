"""Pieces of the SIP grammar (RFC 3261 §25) as linear-time scanners over header text.

Every regular expression here uses possessive quantifiers or disjoint alternatives: hostile text costs time in
proportion to its length, never more.
"""

from __future__ import annotations

import re

from telephony.errors import RemoteProtocolError

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
HOST = r"(?:[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])"
QUOTED = r'"(?:[^"\\]++|\\.)*+"'

_TOKEN_ONLY = re.compile(TOKEN + r"\Z")
_PIECE = {  # a run swallows the other separator: one step for many bytes
    separator: re.compile(QUOTED + rf'|<[^<>]*+>|[^"<{separator}]++|{separator}', re.DOTALL) for separator in ",;"
}
_PARAM = re.compile(rf"\s*({TOKEN})\s*(?:=\s*({QUOTED}|[^\s\x00-\x1f\x7f\";,]++)\s*)?\Z", re.DOTALL)
_DIGITS = re.compile(r"\s*([0-9]{1,99})\s*\Z")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)

MAX_PARTS = 128
"""Items of one list, parameters of one header: nobody needs more, and each costs time."""

Params = tuple[tuple[str, str | None], ...]
"""Parameters in order: name as written, value as written (quotes included), ``None`` where there is no ``=``."""


def is_token(text: str) -> bool:
    """Whether ``text`` is one token (RFC 3261 §25.1)."""
    return _TOKEN_ONLY.match(text) is not None


def split_top(text: str, separator: str, *, where: str) -> list[str]:
    """Split at ``,`` or ``;`` outside quotes and angle brackets; raises on an open quote or bracket."""
    parts: list[str] = []
    piece = _PIECE[separator]
    start = at = 0
    while at < len(text):
        found = piece.match(text, at)
        if found is None:
            raise RemoteProtocolError(f"{where}: quote or bracket never closed", rule="open-quote")
        if found.group() == separator:
            if len(parts) >= MAX_PARTS:
                raise RemoteProtocolError(f"{where}: too many items", rule="too-many-items")
            parts.append(text[start:at])
            start = found.end()
        at = found.end()
    parts.append(text[start:])
    return parts


def split_list(text: str, *, where: str) -> list[str]:
    """Items of a comma list, stripped; raises on an empty item."""
    items = [item.strip() for item in split_top(text, ",", where=where)]
    if not all(items):
        raise RemoteProtocolError(f"{where}: empty list item", rule="empty-list-item")
    return items


def parse_params(text: str, *, where: str) -> Params:
    """``;a=1;b`` as pairs; raises on an empty or malformed parameter."""
    if not text.strip():
        return ()
    head, *parts = split_top(text, ";", where=where)
    if head.strip():
        raise RemoteProtocolError(f"{where}: text before the first parameter", rule="bad-parameter")
    params = []
    for part in parts:
        found = _PARAM.match(part)
        if found is None:
            raise RemoteProtocolError(f"{where}: bad parameter", rule="bad-parameter")
        params.append((found.group(1), found.group(2)))
    return tuple(params)


def format_params(params: Params) -> str:
    """The inverse of ``parse_params``, without spaces."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in params)


def find_param(params: Params, name: str) -> str | None:
    """Value of the first parameter of that name (any case), ``""`` for a bare one, ``None`` if absent."""
    for key, value in params:
        if key.lower() == name:
            return value or ""
    return None


def parse_number(text: str, *, where: str, limit: int) -> int:
    """Decimal digits below ``limit``; raises otherwise. At most 99 digits are looked at."""
    found = _DIGITS.match(text)
    if found is None:
        raise RemoteProtocolError(f"{where}: not a number", rule="not-a-number")
    value = int(found.group(1))
    if value >= limit:
        raise RemoteProtocolError(f"{where}: number too large", rule="number-too-large")
    return value


def unescape(text: str) -> str:
    """Decode ``%HH`` once (RFC 3261 §19.1.2); bytes that are no UTF-8 become surrogates."""
    if "%" not in text:
        return text
    raw = _ESCAPE.sub(lambda found: chr(int(found.group(1), 16)), text)
    try:
        return raw.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # text beyond latin-1 beside the escapes: leave both as they are
        return raw


_USER_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()&=+$,;?/")


def escape_user(text: str) -> str:
    """Percent-encode what may not stand in the user part of a URI (RFC 3261 §25.1, user-unreserved)."""
    out = []
    for char in text:
        if char in _USER_PLAIN:
            out.append(char)
        else:
            out.extend(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))
    return "".join(out)


def unquote(text: str) -> str:
    """Content of a quoted string, or ``text`` itself where it is not quoted."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _QUOTED_PAIR.sub(r"\1", text[1:-1])
    return text


def quote(text: str) -> str:
    """``text`` as a quoted string (RFC 3261 §25.1)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
