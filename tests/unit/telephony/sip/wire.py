"""Builders and an in-memory wire for the SIP core: no socket, no clock."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from typing import Any, TypeVar

from telephony.sip.actions import CallEvent, Dropped, Output, Refused, Transmit
from telephony.sip.endpoint import SipEndpoint
from telephony.sip.message import Request, Response, parse_message
from telephony.sip.settings import SipSettings

PEER = ("192.0.2.10", 5062)
US = ("198.51.100.1", 5060)
RTP = ("198.51.100.1", 20000)
OFFER = (
    "v=0\r\no=peer 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)

E = TypeVar("E", bound=Output)


def endpoint(address: tuple[str, int] = US, *, prefix: str = "us", **settings: Any) -> SipEndpoint:
    """An endpoint with numbered tokens that takes everybody's signalling unless told otherwise."""
    count = itertools.count(1)
    settings.setdefault("allow", ("0.0.0.0/0",))
    return SipEndpoint(
        SipSettings(**settings),
        local=lambda peer_ip: address,
        token=lambda: f"{next(count):08x}{prefix.encode().hex()}",
        random=random.Random(7).random,
    )


def request(
    method: str = "INVITE",
    *,
    call_id: str = "call-1",
    cseq: int = 1,
    branch: str = "",
    to_tag: str = "",
    from_tag: str = "peer",
    body: str = "",
    extra: Iterable[str] = (),
    rport: bool = True,
) -> bytes:
    """A request of the peer as bytes."""
    branch = branch or f"z9hG4bK{method}{cseq}{call_id}"
    lines = [
        f"{method} sip:agent@198.51.100.1 SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.10:5062;branch={branch}{';rport' if rport else ''}",
        "Max-Forwards: 70",
        f"From: <sip:alice@192.0.2.10>;tag={from_tag}",
        f"To: <sip:agent@198.51.100.1>{';tag=' + to_tag if to_tag else ''}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        "Contact: <sip:alice@192.0.2.10:5062>",
        *extra,
    ]
    if body and not any(line.lower().startswith("content-type") for line in lines):
        lines.append("Content-Type: application/sdp")
    data = body.encode()
    return ("\r\n".join([*lines, f"Content-Length: {len(data)}"]) + "\r\n\r\n").encode(
        "utf-8", "surrogateescape"
    ) + data


class Peer:
    """A hand-driven peer of one endpoint."""

    def __init__(self, sip: SipEndpoint | None = None) -> None:
        self.sip = sip or endpoint()
        self.now = 100.0
        self.events: list[CallEvent | Refused | Dropped] = []
        self.sent: list[Request | Response] = []
        self.destinations: list[tuple[str, int]] = []

    def send(self, data: bytes, source: tuple[str, int] = PEER) -> list[Request | Response]:
        """Deliver a datagram and return what came back at once."""
        self.sip.receive(data, source, self.now)
        return self.collect()

    def collect(self) -> list[Request | Response]:
        got: list[Request | Response] = []
        for output in self.sip.poll():
            if isinstance(output, Transmit):
                got.append(parse_message(output.data))
                self.destinations.append(output.destination)
            else:
                self.events.append(output)
        self.sent += got
        return got

    def advance(self, seconds: float) -> list[Request | Response]:
        """Let time pass, firing each timer at its own moment."""
        end, got = self.now + seconds, []
        while (at := self.sip.next_deadline()) is not None and at <= end:
            self.now = max(self.now, at)
            self.sip.handle_timer(self.now)
            got += self.collect()
            following = self.sip.next_deadline()
            assert following is None or following > at, "a timer that does not move"
        self.now = end
        return got

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def statuses(self, method: str | None = None) -> list[int]:
        """Final and provisional statuses sent so far, for one method or all."""
        return [
            message.status
            for message in self.sent
            if isinstance(message, Response) and method in {None, message.cseq.method}
        ]

    def answered(self, *, body: str = OFFER, extra: Iterable[str] = ()) -> tuple[str, str]:
        """INVITE, 200, ACK: the call's key and our tag."""
        self.send(request(body=body, extra=extra))
        key = f"sip-{sum(1 for event in self.events if type(event).__name__ == 'Offered')}"
        self.sip.prepare(key, RTP)
        self.sip.accept(key, self.now)
        tag = self.collect()[-1].to.tag
        self.send(request("ACK", to_tag=tag, branch="z9hG4bKack1"))
        return key, tag


class Wire:
    """Two endpoints and the datagrams between them, in virtual time."""

    def __init__(self, caller: SipEndpoint, callee: SipEndpoint) -> None:
        self.ends = {("192.0.2.10", 5062): caller, US: callee}
        self.caller, self.callee = caller, callee
        self.now = 0.0
        self.events: dict[SipEndpoint, list[Output]] = {caller: [], callee: []}
        self.trace: list[str] = []
        self.lose: set[str] = set()
        """Start lines (first word or status) that are lost from now on."""

    def run(self, seconds: float = 0.0) -> None:
        """Carry datagrams until it is quiet, then let time pass."""
        end = self.now + seconds
        while True:
            self._carry()
            times = [at for sip in self.ends.values() if (at := sip.next_deadline()) is not None]
            if not times or min(times) > end:
                break
            self.now = max(self.now, min(times))
            for sip in self.ends.values():
                sip.handle_timer(self.now)
        self.now = end

    def _carry(self) -> None:
        moved = True
        while moved:
            moved = False
            for address, sip in self.ends.items():
                for output in sip.poll():
                    moved = True
                    if isinstance(output, Transmit):
                        self._deliver(address, output)
                    else:
                        self.events[sip].append(output)

    def _deliver(self, source: tuple[str, int], output: Transmit) -> None:
        message = parse_message(output.data)
        name = message.method if isinstance(message, Request) else f"{message.status}/{message.cseq.method}"
        if name in self.lose:
            return
        self.trace.append(name)
        self.ends[output.destination].receive(output.data, source, self.now)

    def of(self, sip: SipEndpoint, kind: type[E]) -> list[E]:
        return [event for event in self.events[sip] if isinstance(event, kind)]
