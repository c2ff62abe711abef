"""Where webhooks may go: the guard against requests that somebody's URL makes us send inside (operations.md 3.2).

Two checks: of the URL before each attempt, and of every address that its name resolves to, in the resolver that the
connection itself uses, so that a name cannot answer differently the second time.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from agent.errors import AgentError

Address = IPv4Address | IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL: Final = 2048
PORTS: Final = frozenset([443, 8443])
"""Ports of https. With ``allow_http`` (development) any port goes."""

_NEVER: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "::/128",
        "::1/128",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
"""Named one by one: ``is_global`` of Python 3.11 calls some of them global."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


class UrlRefused(AgentError):
    """A webhook may not go there."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        """Slug: ``bad_url too_long scheme userinfo port odd_address private_address``."""


class AddressRefused(OSError):
    """A name resolves to an address that webhooks may not reach. An ``OSError``: the client reports it as such."""


class Guard:
    """``networks`` are what the operator allows besides the public ones; never a tenant's choice."""

    def __init__(self, *, allow_http: bool = False, networks: Sequence[str] = ()) -> None:
        self._allow_http = allow_http
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in networks)

    def check_url(self, text: str) -> URL:
        """The URL, normalised. Raises ``UrlRefused``."""
        if len(text) > MAX_URL:
            raise UrlRefused("too_long", f"more than {MAX_URL} characters")
        try:
            url = URL(text)
            host, port = (url.raw_host or "").rstrip("."), url.port
        except ValueError as error:
            raise UrlRefused("bad_url", str(error)) from error
        if url.scheme not in ("https", "http") or (url.scheme == "http" and not self._allow_http):
            raise UrlRefused("scheme", f"{url.scheme or 'none'}: https only")
        if url.raw_user is not None or url.raw_password is not None:
            raise UrlRefused("userinfo", "a URL with a user name")
        if not host:
            raise UrlRefused("bad_url", "no host")
        if port not in PORTS and not self._allow_http:
            raise UrlRefused("port", f"{port}: 443 or 8443 only")
        self._check_literal(host)
        return url

    def _check_literal(self, host: str) -> None:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            if "%" in host or ":" in host or _is_legacy_number(host):
                raise UrlRefused("odd_address", f"{host} is no plain address") from None
            return
        if self.refusal(address):
            raise UrlRefused("private_address", str(address))

    def refusal(self, address: Address) -> str | None:
        """Why an address may not be reached, ``None`` if it may."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self._networks):
            return None
        inner = [one for one in _embedded(address) if self.refusal(one)]
        if inner:
            return f"{address} holds {inner[0]}"
        if any(address in network for network in _NEVER) or not address.is_global:
            return f"{address} is not public"
        if address.is_multicast or address.is_reserved:
            return f"{address} is multicast or reserved"
        return None


def _embedded(address: Address) -> list[IPv4Address]:
    """IPv4 addresses that a gateway would make of an IPv6 one: NAT64, 6to4, Teredo, IPv4-compatible."""
    if isinstance(address, IPv4Address):
        return []
    found: list[IPv4Address] = []
    if address in _NAT64 or address in _COMPATIBLE:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found.extend(address.teredo)
    return found


def _is_legacy_number(host: str) -> bool:
    """``2130706433``, ``0x7f.1``, ``127.1``: what old resolvers take for an IPv4 address."""
    try:
        socket.inet_aton(host)
    except (OSError, UnicodeError):
        return False
    return True


class GuardedResolver(AbstractResolver):
    """Resolves with ``inner`` and refuses a name if any of its addresses is refused."""

    def __init__(self, guard: Guard, inner: AbstractResolver) -> None:
        self._guard = guard
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses, all checked. Raises ``AddressRefused`` and what the resolver raises."""
        found = await self._inner.resolve(host, port, family)
        for one in found:
            try:
                why = self._guard.refusal(ipaddress.ip_address(one["host"]))
            except ValueError:
                why = f"{one['host']} is no plain address"
            if why:
                raise AddressRefused(f"{host}: {why}")
        return found

    async def close(self) -> None:
        await self._inner.close()
