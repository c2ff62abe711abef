"""ICE of one peer: aioice's agent on our own sockets, and what a DTLS transport needs of it.

Differences from aiortc's transport: ports come from a configured range, loopback counts as an address, media packets
reach their owner inside ``datagram_received`` (no queue and no task switch for each of fifty packets a second), and
the credentials can be changed while DTLS goes on (ICE restart, RFC 8445 §9).
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import aioice
from aioice import ice as agent
from aioice.candidate import Candidate, candidate_foundation, candidate_priority

from telephony.errors import MediaError
from telephony.webrtc.sdp import IceCandidate, IceCredentials

_RECEIVE_BUFFER = 256 * 1024
_MAX_QUEUED = 256
"""DTLS datagrams that may wait; a flood beyond it is dropped, DTLS repeats what matters."""
_BIND_TRIES = 50
_SERVER_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IceSettings:
    """How a peer is reached."""

    hosts: tuple[str, ...]
    """Local addresses to bind; empty: every address of this machine, loopback too."""
    port_min: int = 0
    port_max: int = 0
    """UDP ports; 0: any free one."""
    advertised: str = ""
    """Address that is told instead of the bound ones (a host behind 1:1 NAT)."""
    stun: tuple[str, int] | None = None
    turn: tuple[str, int] | None = None
    turn_username: str = ""
    turn_password: str = field(default="", repr=False)
    turn_transport: str = "udp"
    turn_tls: bool = False


class _Protocol(agent.StunProtocol):
    """Tells STUN, DTLS and media apart by their first byte (RFC 7983) before anything is parsed."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        first = data[0] if data else 0
        if isinstance(first, int) and isinstance(data, bytes) and first >= 20 and isinstance(self.receiver, _Agent):
            self.receiver.deliver(data, (addr[0], addr[1]))
        else:
            super().datagram_received(data, addr)


class _Agent(aioice.Connection):
    """An ICE agent in the controlled role, on sockets of our choice."""

    def __init__(self, settings: IceSettings, deliver: Callable[[bytes], None]) -> None:
        super().__init__(
            ice_controlling=False,
            stun_server=settings.stun,
            turn_server=settings.turn,
            turn_username=settings.turn_username or None,
            turn_password=settings.turn_password or None,
            turn_ssl=settings.turn_tls,
            turn_transport=settings.turn_transport,
        )
        self._settings = settings
        self._deliver = deliver
        self.foreign = 0
        """Datagrams from addresses that no check has come from."""

    def deliver(self, data: bytes, source: tuple[str, int]) -> None:
        """Media and DTLS, from addresses only that ICE knows."""
        if any(known.port == source[1] and known._network_host == source[0] for known in self._remote_candidates):
            self._deliver(data)
        else:
            self.foreign += 1

    async def gather_candidates(self) -> None:
        """Bind our sockets; ask STUN and TURN servers where there are some."""
        if self._local_candidates_start:
            return
        self._local_candidates_start = True
        hosts = self._settings.hosts or (*agent.get_host_addresses(use_ipv4=True, use_ipv6=True), "127.0.0.1")
        bound = [protocol for host in hosts if (protocol := await self._bind(host)) is not None]
        if not bound:
            raise MediaError("no UDP port could be bound for WebRTC")
        self._protocols += bound
        self._local_candidates += [protocol.local_candidate for protocol in bound]
        await self._ask_servers(bound)
        self._local_candidates_end = True

    async def _bind(self, host: str) -> _Protocol | None:
        low, high = self._settings.port_min, self._settings.port_max
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for _ in range(_BIND_TRIES if low else 1):
            port = random.randint(low, high) if low else 0
            try:
                _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda: _Protocol(self), local_addr=(host, port), family=family
                )
            except OSError:
                continue
            _widen(protocol.transport)
            name = protocol.transport.get_extra_info("sockname")
            shown = self._settings.advertised or name[0]
            protocol.local_candidate = Candidate(
                foundation=candidate_foundation("host", "udp", shown),
                component=1,
                transport="udp",
                priority=candidate_priority(1, "host"),
                host=shown,
                port=name[1],
                type="host",
            )
            return protocol
        return None

    async def _ask_servers(self, bound: list[_Protocol]) -> None:
        settings = self._settings
        asking: list[Coroutine[Any, Any, tuple[Candidate, agent.StunProtocol | None]]] = []
        if settings.stun is not None:
            asking += [
                agent.server_reflexive_candidate(protocol, settings.stun)
                for protocol in bound
                if ":" not in protocol.local_candidate.host
            ]
        if settings.turn is not None:
            asking.append(
                agent.relayed_candidate(
                    component=1,
                    hide_related_address=False,
                    protocol_factory=lambda: _Protocol(self),
                    turn_server=settings.turn,
                    turn_username=settings.turn_username or None,
                    turn_password=settings.turn_password or None,
                    turn_ssl=settings.turn_tls,
                    turn_transport=settings.turn_transport,
                )
            )
        limited = (asyncio.wait_for(one, _SERVER_S) for one in asking)
        for found in await asyncio.gather(*limited, return_exceptions=True):
            if isinstance(found, BaseException):
                continue  # a server that does not answer gives no candidate
            candidate, protocol = found
            self._local_candidates.append(candidate)
            if protocol is not None:
                self._protocols.append(protocol)


def _widen(transport: Any) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)


class IceTransport:
    """What ``RTCDtlsTransport`` uses of its transport: ``role``, ``_recv`` and ``_send``; and media beside it."""

    role = "controlled"

    def __init__(self, settings: IceSettings, on_media: Callable[[bytes], None]) -> None:
        self._settings = settings
        self._on_media = on_media
        self._agent = _Agent(settings, self._received)
        self._next: _Agent | None = None
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_MAX_QUEUED)
        self._closed = False
        self.received_at = 0.0
        """Loop time of the last datagram of the peer."""

    @property
    def local(self) -> tuple[IceCredentials, tuple[IceCandidate, ...]]:
        """Credentials and candidates of the newest agent."""
        newest = self._next or self._agent
        return (
            IceCredentials(ufrag=newest.local_username, password=newest.local_password),
            tuple(
                IceCandidate(
                    foundation=one.foundation, priority=one.priority, host=one.host, port=one.port, kind=one.type
                )
                for one in newest.local_candidates
            ),
        )

    @property
    def remote_ufrag(self) -> str:
        """Of the newest agent."""
        return (self._next or self._agent).remote_username or ""

    @property
    def foreign(self) -> int:
        return self._agent.foreign

    async def gather(self) -> None:
        """Bind sockets, ask servers. Raises ``MediaError``."""
        await self._agent.gather_candidates()

    async def add_candidates(self, candidates: tuple[IceCandidate, ...]) -> None:
        """Addresses of the peer, known from the start or trickled."""
        newest = self._next or self._agent
        for one in candidates:
            await newest.add_remote_candidate(
                Candidate(
                    foundation=one.foundation,
                    component=1,
                    transport="udp",
                    priority=one.priority,
                    host=one.host,
                    port=one.port,
                    type=one.kind,
                )
            )

    async def connect(self, remote: IceCredentials) -> None:
        """Until a pair of addresses works. Raises ``ConnectionError`` when none does."""
        self._agent.remote_username, self._agent.remote_password = remote.ufrag, remote.password
        await self._agent.connect()

    async def prepare_restart(self, remote: IceCredentials, candidates: tuple[IceCandidate, ...]) -> None:
        """A second agent with fresh credentials, beside the first; then ``local`` is its. Raises ``MediaError``."""
        if self._next is not None:
            await self._next.close()
        self._next = _Agent(self._settings, self._received)
        self._next.remote_username, self._next.remote_password = remote.ufrag, remote.password
        await self._next.gather_candidates()
        await self.add_candidates(candidates)

    async def finish_restart(self) -> None:
        """Move to the second agent when it has a pair; the first goes on until then. Raises ``ConnectionError``."""
        fresh = self._next
        if fresh is None:
            return
        await fresh.connect()
        if self._next is not fresh:  # a later restart has overtaken this one
            return
        former, self._agent, self._next = self._agent, fresh, None
        await former.close()

    def send_now(self, data: bytes) -> bool:
        """One datagram to the peer, at once; false while there is no pair."""
        pair = self._agent._nominated.get(1)
        if pair is None or self._closed:
            return False
        pair.protocol.transport.sendto(data, pair.remote_addr)
        return True

    async def close(self) -> None:
        """Free all sockets; a waiting ``_recv`` ends with ``ConnectionError``."""
        if self._closed:
            return
        self._closed = True
        while self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)
        for one in (self._next, self._agent):
            if one is not None:
                await one.close()

    def _received(self, data: bytes) -> None:
        self.received_at = asyncio.get_running_loop().time()
        if data[0] >= 128:
            self._on_media(data)
        elif not self._queue.full():
            self._queue.put_nowait(data)

    async def _recv(self) -> bytes:
        data = None if self._closed and self._queue.empty() else await self._queue.get()
        if data is None:
            raise ConnectionError("closed")
        return data

    async def _send(self, data: bytes) -> None:
        if not self.send_now(data):
            raise ConnectionError("no address of the peer is known")
