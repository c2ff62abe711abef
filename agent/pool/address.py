"""Addresses of links and control sockets: a path (Unix socket) or ``host:port`` (TCP)."""

from __future__ import annotations


def parse_address(text: str) -> str | tuple[str, int]:
    """Path of a Unix socket, or ``(host, port)``. Raises ``ValueError`` on an empty text or a bad port."""
    if not text:
        raise ValueError("address is empty")
    host, colon, port = text.rpartition(":")
    if "/" in text or not colon:
        return text
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"address {text!r} has no valid port")
    return host.strip("[]"), int(port)
