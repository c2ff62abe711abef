"""Who may ask what: bearer keys, their scopes, and a limit on wrong ones.

Without any key, a loopback listener is open to whoever reaches it, but to no web page: a page of another origin, or one
whose name was pointed at this machine (DNS rebinding), is refused. A listener that is not loopback is never open.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from agent.api.keys import ANYBODY, KeyFile, Principal, is_well_formed
from agent.api.problems import Problem
from telephony.clock import Clock

MOST_FAILURES: Final = 10
"""Wrong keys that one address may try at once; one more each ``FORGIVE_S``."""
FORGIVE_S: Final = 6.0
MOST_ADDRESSES: Final = 1024
MOST_KEY_LENGTH: Final = 200


class Failures:
    """Wrong keys per address: a leaky bucket each, for the addresses that failed last."""

    def __init__(self) -> None:
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, address: str, *, now: float) -> float:
        """How long the address must wait before its next try; 0: it may."""
        over = self._level(address, now) - (MOST_FAILURES - 1)
        return max(0.0, over * FORGIVE_S)

    def add(self, address: str, *, now: float) -> None:
        self._levels[address] = (self._level(address, now) + 1, now)
        self._levels.move_to_end(address)
        while len(self._levels) > MOST_ADDRESSES:
            self._levels.popitem(last=False)

    def _level(self, address: str, now: float) -> float:
        level, since = self._levels.get(address, (0.0, now))
        return max(0.0, level - (now - since) / FORGIVE_S)


class Gate:
    """Turns a request into a ``Principal``, or raises the ``Problem`` that says why not."""

    def __init__(
        self,
        keys: KeyFile,
        *,
        host: str,
        clock: Clock,
        wall: Callable[[], float],
        failed: Callable[[], None] = lambda: None,
        limited: Callable[[], None] = lambda: None,
    ) -> None:
        """``host``: where the listener listens. ``failed`` and ``limited`` count."""
        self._keys = keys
        self._is_loopback = is_loopback(host)
        self._clock = clock
        self._wall = wall
        self._failed = failed
        self._limited = limited
        self._failures = Failures()

    @property
    def is_open(self) -> bool:
        """Everybody who reaches the listener may do everything."""
        return self._is_loopback and not self._keys.any_live

    def admit(self, request: web.Request, *, scope: str, operator: bool) -> Principal:
        """Who asks. Raises ``Problem`` 401, 403 or 429."""
        if self.is_open:
            _refuse_pages(request)
            return ANYBODY
        principal = self._identify(request)
        if scope and scope not in principal.scopes:
            raise Problem(403, f"the key {principal.name!r} lacks the scope {scope}")
        if operator and not principal.is_operator:
            raise Problem(403, "this concerns all tenants: it takes a key of the operator (tenant *)")
        return principal

    def _identify(self, request: web.Request) -> Principal:
        address, now = request.remote or "", self._clock.now()
        wait_s = self._failures.wait_s(address, now=now)
        if wait_s > 0:
            self._limited()
            raise Problem(429, "too many wrong keys from this address", headers={"Retry-After": str(int(wait_s) + 1)})
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        key = key.strip()
        principal = None
        if scheme.lower() == "bearer" and len(key) <= MOST_KEY_LENGTH and is_well_formed(key):
            principal = self._keys.find(key, now=self._wall())
        if principal is None:
            if key:
                self._failures.add(address, now=now)
            self._failed()
            why = "the key is not known, expired or revoked" if key else "a key is needed (Authorization: Bearer …)"
            raise Problem(401, why, headers={"WWW-Authenticate": 'Bearer realm="crosstalk"'})
        return principal


def is_loopback(host: str) -> bool:
    """Whether a name or address of a listener or a ``Host`` header means this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _refuse_pages(request: web.Request) -> None:
    host = host_of(f"//{request.headers.get('Host', '')}")
    if host is None or not is_loopback(host):
        raise Problem(403, "without API keys, only requests to this machine by its loopback name are taken")
    origin = request.headers.get("Origin")
    if origin is not None and netloc_of(origin) != request.headers.get("Host", "").lower():
        raise Problem(403, "without API keys, pages of other origins are refused")


def host_of(url: str) -> str | None:
    """Name or address in a URL; ``None`` for none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def netloc_of(url: str) -> str:
    """``host:port`` of an origin; empty for one that is none (``null``)."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
