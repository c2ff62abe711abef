"""A caller's telephone: one SIP address and one call on it, over UDP. The shell around ``telephony.sip``."""

from __future__ import annotations

import asyncio
import random
import re
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from agent.errors import AgentError
from agent.simulator.knock import knock
from telephony.errors import RemoteProtocolError
from telephony.media import LegMedia
from telephony.sip.actions import (
    ByeAnswered,
    CallEvent,
    Ended,
    Established,
    MediaChanged,
    Output,
    ReferAsked,
    Transmit,
)
from telephony.sip.endpoint import SipEndpoint
from telephony.sip.headers.uri import Uri
from telephony.sip.settings import SipSettings

CALL_ID_HEADER = re.compile(rb"^x-crosstalk-call-id[ \t]*:[ \t]*([^\r\n]{1,128})", re.IGNORECASE | re.MULTILINE)
RING_LIMIT_S = 40.0
BYE_WAIT_S = 4.0
SIDES = {"us": "caller", "caller": "agent"}
"""The core's names of the two sides, seen from the caller: its "caller" is whoever is at the other end."""


class DialFailed(AgentError):
    """The call could not be placed."""


@dataclass(slots=True, kw_only=True)
class PhoneBook:
    """What became of the call."""

    status: int = 0
    """Final SIP status: 200 once answered; the refusal's otherwise; 0 where nobody listens."""
    ended_by: str = ""
    """``caller``, ``agent`` or ``network``."""
    reason: str = ""
    bye_status: int | None = None
    """The agent's answer to our BYE; ``None`` if we sent none or none came."""
    user: str = ""
    """User part of our From address, unlike any other: the service's list of calls has it."""
    service_call_id: str = ""
    """The service's own name of the call: from its 200 OK, or looked up by ``user``."""
    transferred_to: str = ""
    answered_after_s: float = 0.0


class Phone(asyncio.DatagramProtocol):
    """Dials once. ``on_media`` is called with each agreement about media, from the event loop."""

    def __init__(self, uri: str, *, rtp_port: int, on_media: Callable[[LegMedia], None], accept_transfer: bool) -> None:
        try:
            target = Uri.parse(uri, where="target")
        except RemoteProtocolError as error:
            raise DialFailed(f"{uri}: {error}") from error
        self._uri = uri
        self._address = _resolve(target.host, target.port or 5060)
        self._host = _facing(self._address)
        self._rtp_port, self._on_media, self._accept_transfer = rtp_port, on_media, accept_transfer
        self.book = PhoneBook()
        self.answered = asyncio.get_running_loop().create_future()
        """True or false, once."""
        self.ended = asyncio.Event()
        self._bye_answered = asyncio.Event()
        self._is_heard = False
        """Something came back, so somebody is there."""
        self._key = ""
        self._dialled_at = 0.0
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._endpoint: SipEndpoint | None = None

    # --- commands ---

    async def dial(self, *, headers: tuple[tuple[str, str], ...] = ()) -> bool:
        """Place the call and wait for its answer; false if it was refused or nobody listens. Raises ``DialFailed``."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(self._host, 0))
        assert self._transport is not None
        port = self._transport.get_extra_info("sockname")[1]
        endpoint = self._endpoint = SipEndpoint(
            SipSettings(
                allow=(self._address[0],),
                refer="report" if self._accept_transfer else "refuse",
                user="caller",
                user_agent="Crosstalk-Caller",
                ring_limit_s=RING_LIMIT_S,
            ),
            local=lambda _peer: (self._host, port),
            token=lambda: secrets.token_hex(16),
            random=random.random,
        )
        self._dialled_at = time.monotonic()
        self.book.user = f"caller-{secrets.token_hex(6)}"
        try:
            self._key = endpoint.dial(
                self._uri,
                self._address,
                rtp=(self._host, self._rtp_port),
                now=self._dialled_at,
                caller=f"sip:{self.book.user}@{self._host}",
                headers=headers,
            )
        except RemoteProtocolError as error:
            raise DialFailed(f"{self._uri}: {error}") from error
        self._act()
        knocking = await knock(self._address, self._nobody_listens)
        try:
            return bool(await self.answered)
        finally:
            knocking.close()

    def hang_up(self) -> None:
        """BYE (or CANCEL)."""
        if self._endpoint is not None and not self.ended.is_set():
            self._endpoint.hang_up(self._key, "hangup", time.monotonic())
            self._act()

    async def close(self) -> None:
        """Wait for the answer to our BYE, then close the socket."""
        if self.book.ended_by == "caller" and self.book.status == 200:
            with suppress(TimeoutError):  # told by ``bye_status`` None
                async with asyncio.timeout(BYE_WAIT_S):
                    await self._bye_answered.wait()
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()

    # --- the wire ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an assertion on the type: uvloop's transports have a base class of their own.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._endpoint is None:
            return
        self._is_heard = True
        if data.startswith(b"SIP/2.0 200"):
            found = CALL_ID_HEADER.search(data)
            if found:
                self.book.service_call_id = found[1].decode("ascii", "replace").strip()
        self._endpoint.receive(data, addr, time.monotonic())
        self._act()

    def error_received(self, exc: Exception) -> None:
        """A send of ours failed: repetition is the transaction's business."""

    def _nobody_listens(self, error: OSError) -> None:
        """Not worth 32 s of repetitions (RFC 3261 §18.4 has an ICMP error end the transaction)."""
        if self._is_heard or self.ended.is_set():
            return
        host, port = self._address
        self.book.ended_by, self.book.reason = "network", f"nobody listens on UDP {host}:{port} ({error.strerror})"
        self._settle(False)
        self.ended.set()

    def _act(self) -> None:
        """Carry out what the core wants, and set the next timer."""
        endpoint, transport = self._endpoint, self._transport
        if endpoint is None or transport is None or transport.is_closing():
            return
        while outputs := endpoint.poll():
            for output in outputs:
                self._carry_out(output, transport)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = endpoint.next_deadline()
        if deadline is not None:
            wait = max(0.0, deadline - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._timer_due)

    def _timer_due(self) -> None:
        assert self._endpoint is not None
        self._endpoint.handle_timer(time.monotonic())
        self._act()

    def _carry_out(self, output: Output, transport: asyncio.DatagramTransport) -> None:
        if isinstance(output, Transmit):
            transport.sendto(output.data, output.destination)
        elif isinstance(output, CallEvent) and output.call == self._key:
            self._happened(output)

    def _happened(self, event: CallEvent) -> None:
        if isinstance(event, Established):
            self.book.status = 200
            self.book.answered_after_s = time.monotonic() - self._dialled_at
            self._on_media(event.media)
            self._settle(True)
        elif isinstance(event, MediaChanged):
            self._on_media(event.media)
        elif isinstance(event, ReferAsked) and self._endpoint is not None:
            self.book.transferred_to = event.target
            self._endpoint.notify_refer(self._key, 200, "OK", time.monotonic())
        elif isinstance(event, Ended):
            self.book.ended_by, self.book.reason = SIDES.get(event.by, event.by), event.reason
            if self.book.status != 200:
                self.book.status = event.status
            self._settle(False)
            self.ended.set()
        elif isinstance(event, ByeAnswered):
            self.book.bye_status = event.status
            self._bye_answered.set()

    def _settle(self, answered: bool) -> None:
        if not self.answered.done():
            self.answered.set_result(answered)


def _resolve(host: str, port: int) -> tuple[str, int]:
    try:
        found = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        raise DialFailed(f"{host}: {error}") from error
    address: tuple[str, int] = found[0][4][:2]  # type: ignore[assignment]  # AF_INET gives (str, int)
    return address


def _facing(address: tuple[str, int]) -> str:
    """Our address as the target sees it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(address)
        except OSError as error:
            raise DialFailed(f"{address[0]}: {error}") from error
        host: str = probe.getsockname()[0]
        return host
