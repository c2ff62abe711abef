"""Whether a request is of this machine: by its own name, of no proxy and of no page of another origin."""

from __future__ import annotations

from aiohttp import web

from agent.api.gate import host_of, is_loopback, netloc_of


def is_this_machine(request: web.Request) -> bool:
    """From loopback, addressed by a loopback name (no rebound one), with no foreign page or proxy behind it."""
    host = request.headers.get("Host", "")
    origin = request.headers.get("Origin")
    return (
        is_loopback(request.remote or "")
        and is_loopback(host_of(f"//{host}") or "")
        and (origin is None or netloc_of(origin) == host.lower())
        and not {"X-Forwarded-For", "Forwarded"} & set(request.headers)
    )
