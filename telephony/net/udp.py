"""UDP for signalling: one socket, the local address that faces a peer, and what is doubtful about it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import cast

from telephony.errors import TelephonyError, TransportClosed

Address = tuple[str, int]
_RECEIVE_BUFFER_BYTES = 1024 * 1024  # a burst of INVITEs while the loop is busy must not be lost


class UdpSocket(asyncio.DatagramProtocol):
    """A bound UDP socket that hands each datagram to ``on_datagram(data, source)``."""

    def __init__(self, on_datagram: Callable[[bytes, Address], None]) -> None:
        self._on_datagram = on_datagram
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = asyncio.Event()
        self.errors = 0
        """Sends that the network refused (ICMP unreachable and the like); repetition is the protocol's business."""

    @classmethod
    async def bind(cls, host: str, port: int, on_datagram: Callable[[bytes, Address], None]) -> UdpSocket:
        """Raises ``OSError`` that names the address when it is taken or not ours."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            sock.bind((host, port))
            loop = asyncio.get_running_loop()
            _, protocol = await loop.create_datagram_endpoint(lambda: cls(on_datagram), sock=sock)
        except OSError as error:
            sock.close()
            shown = f"[{host}]" if ":" in host else host
            raise OSError(error.errno, f"cannot listen on UDP {shown}:{port}: {error.strerror}") from error
        except BaseException:
            sock.close()
            raise
        return protocol

    @property
    def port(self) -> int:
        """The bound port."""
        if self._transport is None:
            raise TransportClosed
        return int(self._transport.get_extra_info("sockname")[1])

    def send(self, data: bytes, destination: Address) -> None:
        """Send one datagram; nothing after ``close``."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, destination)

    async def aclose(self) -> None:
        """Close the socket and wait until it is gone."""
        if self._transport is not None:
            self._transport.close()
            await self._closed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # asyncio's own class is no subclass in 3.11

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        self._on_datagram(data, (str(addr[0]), int(str(addr[1]))))

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()

    def error_received(self, exc: Exception) -> None:
        self.errors += 1


def address_facing(peer_ip: str) -> str:
    """Our address on the way to ``peer_ip``: a connected UDP socket knows it, and sends nothing for it."""
    family = socket.AF_INET6 if ":" in peer_ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer_ip, 9))  # port 9 (discard, RFC 863): any port serves
        except OSError:
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return str(probe.getsockname()[0])


def is_private(address: str) -> bool:
    """Private, loopback, link-local or unspecified; a name is not (it is the operator's word)."""
    try:
        return not ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def public_sample(networks: Iterable[str]) -> str | None:
    """An address out of the first public network, or ``None`` where all of them are private."""
    for text in networks:
        network = ipaddress.ip_network(text, strict=False)
        for offset in (0, 1, network.num_addresses // 2):
            if offset < network.num_addresses and network[offset].is_global:
                return str(network[offset])
    return None


async def resolve(host: str) -> str:
    """An address for a host name; literals as they are. Raises ``TelephonyError`` where there is none."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except OSError:
        raise TelephonyError(f"no address for {host}") from None
    return str(found[0][4][0])
