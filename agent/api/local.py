"""Who may have what costs money without a key: this machine, by its own name, and no page of another origin."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web


def refuse_others(request: web.Request) -> None:
    """Raises 403 for a request that is not of this machine: another host, a foreign page, a name pointed at us."""
    host = request.headers.get("Host", "")
    if not (_is_loopback(request.remote or "") and _is_loopback(_hostname(f"//{host}"))):
        raise web.HTTPForbidden(text="tokens are given to this machine only, by its loopback name")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        raise web.HTTPForbidden(text="pages of other origins get no tokens")
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        raise web.HTTPForbidden(text="a proxy's callers are not this machine")


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
