"""SIP dialogs (RFC 3261 §12): identity, sequence numbers, route set, remote target. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from telephony.errors import RemoteProtocolError
from telephony.sip.dialog_table import DIALOG_TABLE, DialogEvent, DialogState
from telephony.sip.headers.name_addr import NameAddr
from telephony.sip.headers.uri import Uri
from telephony.sip.message import Headers, Request, Response
from telephony.sip.transaction import Address


@dataclass(slots=True, kw_only=True)
class Dialog:
    """One dialog. ``request`` writes the next request of ours; ``check_cseq`` admits the peer's."""

    call_id: str
    local: NameAddr
    """From of what we send, with our tag."""
    remote: NameAddr
    """To of what we send, with the peer's tag once it is known."""
    target: Uri
    """Where requests go: the peer's latest Contact (§12.2.1.1)."""
    peer: Address
    """Where its last message came from; next hop where names stand in the way of an address."""
    local_seq: int = 0
    remote_seq: int | None = None
    routes: tuple[NameAddr, ...] = ()
    state: DialogState = DialogState.EARLY
    allowed: frozenset[str] = field(default_factory=frozenset)
    """Methods that the peer says it takes, lower case."""

    @property
    def is_over(self) -> bool:
        return self.state is DialogState.TERMINATED

    def feed(self, event: DialogEvent) -> None:
        self.state = DIALOG_TABLE.get((self.state, event), self.state)

    def check_cseq(self, request: Request) -> None:
        """Admit a request of the peer (§12.2.2); raises 500 when its number is not above the last one."""
        number = request.cseq.number
        if self.remote_seq is not None and number <= self.remote_seq:
            raise RemoteProtocolError("CSeq: not above the last one", rule="cseq-too-low", status_hint=500)
        self.remote_seq = number

    def refresh_target(self, message: Request | Response, source: Address) -> None:
        """Take the Contact of a re-INVITE, UPDATE or their 2xx (§12.2.1.2, §12.2.2)."""
        if message.contacts and message.contacts[0].uri.is_sip:
            self.target = message.contacts[0].uri
        self.peer = source
        if allow := message.headers.tokens("allow"):
            self.allowed = frozenset(allow)

    def request(self, method: str, *, cseq: int | None = None) -> Request:
        """The next request inside the dialog, without Via and Contact. ACK passes its INVITE's ``cseq``."""
        if cseq is None:
            self.local_seq += 1
            cseq = self.local_seq
        uri, routes = str(_request_uri(self.target)), [str(route) for route in self.routes]
        if self.routes and not self.routes[0].uri.is_loose_router:  # a strict router comes first (§12.2.1.1)
            routes = [*routes[1:], f"<{uri}>"]
            uri = str(_request_uri(self.routes[0].uri))
        headers = Headers()
        for route in routes:
            headers.add("Route", route)
        headers.add("Max-Forwards", "70")
        headers.add("From", str(self.local))
        headers.add("To", str(self.remote))
        headers.add("Call-ID", self.call_id)
        headers.add("CSeq", f"{cseq} {method}")
        return Request(method=method, uri=uri, headers=headers)

    def next_hop(self) -> Address:
        """Address of the first route or the target; where it names no literal, where the peer signals from.

        A Contact with a private address behind a public source is a phone behind NAT: its source is used as well.
        """
        hop = self.routes[0].uri if self.routes else self.target
        literal = _literal(hop.host)
        if literal is None or literal.is_unspecified:
            return self.peer
        source = _literal(self.peer[0])
        if not self.routes and source is not None and literal.is_private and not source.is_private:
            return self.peer
        return (hop.host, hop.port or 5060)


def _party(address: NameAddr, tag: str) -> NameAddr:
    """URI and tag are what later requests need (§12.2.1.1); display names stay with the message they came in."""
    return NameAddr(uri=address.uri, params=(("tag", tag),) if tag else ())


def _request_uri(uri: Uri) -> Uri:
    """Without what may not stand in a Request-URI (§19.1.1)."""
    params = tuple(item for item in uri.params if item[0].lower() != "method")
    return Uri(scheme=uri.scheme, user=uri.user, host=uri.host, port=uri.port, params=params, opaque=uri.opaque)


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def of_invite(request: Request, *, local_tag: str, source: Address) -> Dialog:
    """The callee's dialog: routes in order of Record-Route (§12.1.1). Raises 400 without a usable Contact."""
    if len(request.contacts) == 1 and request.contacts[0].uri.is_sip:
        target = request.contacts[0].uri
    elif not request.contacts:  # RFC 2543 callers and the torture corpus: fall back to From
        target = request.from_.uri
    else:
        raise RemoteProtocolError("Contact: one SIP URI is needed", rule="bad-contact")
    return Dialog(
        call_id=request.call_id,
        local=_party(request.to, local_tag),
        remote=_party(request.from_, request.from_.tag),
        target=target,
        peer=source,
        remote_seq=request.cseq.number,
        routes=request.record_routes,
        allowed=frozenset(request.headers.tokens("allow")),
    )


def of_response(request: Request, response: Response, *, source: Address) -> Dialog:
    """The caller's dialog: routes in reverse order of Record-Route (§12.1.2)."""
    contacts = response.contacts
    return Dialog(
        call_id=request.call_id,
        local=_party(request.from_, request.from_.tag),
        remote=_party(response.to, response.to.tag),
        target=contacts[0].uri if contacts and contacts[0].uri.is_sip else request.target,
        peer=source,
        local_seq=request.cseq.number,
        routes=tuple(reversed(response.record_routes)),
        allowed=frozenset(response.headers.tokens("allow")),
    )
