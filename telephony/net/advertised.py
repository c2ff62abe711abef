"""The one address that peers are told, in Via, Contact and SDP, and what is doubtful about it."""

from __future__ import annotations

from functools import lru_cache

from telephony.net.udp import address_facing, is_private, public_sample

WILDCARDS = frozenset({"", "0.0.0.0", "::"})
"""Hosts to listen on that name no address."""


class Advertised:
    """The operator's word, else the address we listen on, else the one that faces the peer."""

    def __init__(self, *, configured: str, listening: str) -> None:
        self._configured, self._listening = configured, listening
        self._facing = lru_cache(maxsize=1024)(address_facing)

    def towards(self, peer_ip: str) -> str:
        """What this peer is told."""
        if self._configured:
            return self._configured
        if self._listening not in WILDCARDS:
            return self._listening
        return self._facing(peer_ip)

    def doubt_about(self, peer_ip: str) -> str | None:
        """Why this peer could not reach us; ``None`` when all is well."""
        host = self.towards(peer_ip)
        if is_private(peer_ip) or not is_private(host):
            return None
        return f"a public peer is told {host} in Contact and SDP; set sip.advertised_address"

    def doubt(self, networks: tuple[str, ...]) -> str | None:
        """The same for the networks that may call."""
        sample = public_sample(networks)
        return None if sample is None else self.doubt_about(sample)
