"""Ports and addresses: what is free, what peers are told, and who is let in."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from agent.api.keys import KeyFile
from agent.config import Config
from agent.doctor.check import Check, fail, ok, warn
from agent.errors import AgentError


def check_ports(config: Config) -> Iterator[Check]:
    yield _port("sip port", config.sip.host, config.sip.port, socket.SOCK_DGRAM)
    yield _port("http port", config.http.host, config.http.port, socket.SOCK_STREAM)
    yield _rtp_ports(config)


def _port(name: str, host: str, port: int, kind: socket.SocketKind) -> Check:
    label = f"{host}:{port} {'udp' if kind == socket.SOCK_DGRAM else 'tcp'}"
    if port == 0:
        return ok(name, f"{label}: a free one is picked at the start")
    problem = _bind(host, port, kind)
    if problem is None:
        return ok(name, f"{label} is free")
    return fail(
        name, f"{label}: {problem}", "stop what holds it (is Crosstalk running already?) or choose another port"
    )


def _bind(host: str, port: int, kind: socket.SocketKind) -> str | None:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=kind)[0]
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:  # as a server does: a connection in TIME_WAIT is no obstacle
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as wrong:
        return wrong.strerror or str(wrong)
    return None


def _rtp_ports(config: Config) -> Check:
    media, calls = config.media, config.engine.rows * config.engine.workers
    pairs = (media.port_max - media.port_min + 1) // 2
    first, last = media.port_min, media.port_min + 2 * (pairs - 1)
    taken = [port for port in sorted({first, (first + last) // 4 * 2, last}) if _bind("", port, socket.SOCK_DGRAM)]
    detail = f"{media.port_min}-{media.port_max} udp: {pairs} calls at once"
    if taken:
        return warn("rtp ports", f"{detail}; {taken[0]} is taken", "give Crosstalk a range that nobody else uses")
    if pairs < calls:
        return warn("rtp ports", f"{detail}, {calls} seats", "widen media.port_min to media.port_max")
    return ok("rtp ports", detail)


def check_advertised_address(config: Config) -> Iterator[Check]:
    """The address in Via, Contact and SDP: wrong ones are the commonest cause of one-way audio."""
    name, told = "advertised address", config.sip.advertised_address
    advice = "set sip.advertised_address to the address at which phones and trunks reach this host"
    if told:
        yield _told_address(name, told, config)
        return
    facing = _facing_address()
    listening = _address(config.sip.host)
    if listening is not None and listening.is_loopback:
        yield ok(name, f"{config.sip.host}: callers on this machine only")
    elif facing is None:
        yield warn(name, "no network besides this machine", advice)
    elif facing.is_private and _allows_public(config):
        yield warn(name, f"{facing} (private), but sip.allow names public networks", advice)
    else:
        yield ok(name, f"{facing}: the address that faces the peer")


def _told_address(name: str, told: str, config: Config) -> Check:
    address = ipaddress.ip_address(told)
    if address.is_loopback and not config.sip.host.startswith("127."):
        return warn(name, f"{told} is this machine only", "tell peers an address that they can send to")
    if address.is_private and not address.is_loopback and _allows_public(config):
        return warn(name, f"{told} is private, but sip.allow names public networks", "tell trunks the public address")
    return ok(name, told)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _facing_address() -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Our address towards the outside; connecting a UDP socket sends nothing (192.0.2.1: RFC 5737)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found = ipaddress.ip_address(probe.getsockname()[0])
    return None if found.is_loopback or found.is_unspecified else found


def _allows_public(config: Config) -> bool:
    return any(not ipaddress.ip_network(network).is_private for network in config.sip.allow)


def check_api_keys(config: Config) -> Iterator[Check]:
    """Who may use the HTTP API. Looks, and makes no folder."""
    name, host = "api keys", config.http.host
    path = Path(config.api.folder) / "keys.json"
    try:
        live = sum(record.is_live(time.time()) for record in KeyFile(path.parent).listed()) if path.exists() else 0
    except (AgentError, TypeError, KeyError) as wrong:
        yield fail(name, f"{path}: {wrong}", f"restore {path}, or remove it and make new keys")
        return
    if live:
        yield ok(name, f"{live} can be used")
    elif host == "localhost" or ((address := _address(host)) is not None and address.is_loopback):
        yield ok(name, f"none: {host} is open to whoever is on this machine")
    else:
        yield warn(
            name, f"none, and http.host = {host} is open to others: /v1 answers 401 to everybody",
            "crosstalk keys create NAME, or http.host = 127.0.0.1",
        )  # fmt: skip
