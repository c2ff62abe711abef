"""How others are reached: hosts, networks, ports, URLs, and whom a call may be sent to."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from agent.dialplan import rule_problem

CALLER = re.compile(r"sip:[A-Za-z0-9+._-]{1,64}@[A-Za-z0-9.-]{1,128}(:[0-9]{1,5})?")
TARGET = re.compile(r"[A-Za-z0-9_ -]{1,40}=(sips?|tel):\S+")
FALLBACK = re.compile(r"\+[1-9][0-9]{6,14}|sips?:[^@\s]{1,64}@[A-Za-z0-9.:-]{1,253}")


def worker_addresses(value: object) -> str | None:
    for text in value if isinstance(value, tuple) else ():
        host, _, port = str(text).rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            return f"must hold host:port, not {text!r}"
    return None


def networks(value: object) -> str | None:
    for text in value if isinstance(value, tuple) else ():
        try:
            ipaddress.ip_network(text)
        except ValueError as wrong:
            return f"is not a network: {wrong}"
    return None


def address_or_empty(value: object) -> str | None:
    if not value:
        return None
    try:
        address = ipaddress.ip_address(str(value))
    except ValueError:
        return f"must be an IP address, not {value!r}"
    return "must be an address that a peer can send to" if address.is_unspecified or address.is_multicast else None


def even_port(value: object) -> str | None:
    fits = isinstance(value, int) and 1024 <= value <= 65534 and value % 2 == 0
    return None if fits else f"must be an even port in 1024 to 65534, not {value}"


def url_or_empty(value: object) -> str | None:
    if not value:
        return None
    try:
        parts = urlsplit(str(value))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as wrong:
        return f"is not a URL: {wrong}"
    return None if usable else "must be a URL with http:// or https:// and a host"


def ws_url_or_empty(value: object) -> str | None:
    if not value:
        return None
    try:
        parts = urlsplit(str(value))
        usable = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError as wrong:
        return f"is not a URL: {wrong}"
    return None if usable else "must be a URL with ws:// or wss:// and a host"


def store_url(value: object) -> str | None:
    text = str(value)
    if text.startswith("sqlite:"):
        return None if len(text) > len("sqlite:") else "needs a path after sqlite:"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    return None if usable else "must be sqlite:PATH or redis://host:port/db"


def fallback_or_empty(value: object) -> str | None:
    text = str(value)
    if text.startswith("http"):
        return url_or_empty(text)
    return None if not text or FALLBACK.fullmatch(text) else "must be a URL, a number (+E.164), or sip:user@host"


def target_or_empty(value: object) -> str | None:
    return None if not value or str(value).startswith(("sip:", "sips:", "tel:")) else "must begin with sip: or tel:"


def named_targets(value: object) -> str | None:
    lines = value if isinstance(value, tuple) else ()
    return None if all(TARGET.fullmatch(line) for line in lines) else "must be of the form name=sip:user@host"


def caller_or_empty(value: object) -> str | None:
    return None if not value or CALLER.fullmatch(str(value)) else "must be sip:user@host, or empty"


def number_or_empty(value: object) -> str | None:
    return None if re.fullmatch(r"(\+[0-9]{5,15})?", str(value)) else "must be a number with its country, +15551234567"


def dial_rules(value: object) -> str | None:
    for rule in value if isinstance(value, tuple) else ():
        if (why := rule_problem(str(rule))) is not None:
            return why
    return None
