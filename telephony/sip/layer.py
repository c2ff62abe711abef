"""All transactions of one endpoint: matching, repetition, responses to their owners (RFC 3261 §17). Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from telephony.sip import responses
from telephony.sip.actions import Dropped, Output, Transmit
from telephony.sip.headers.via import COOKIE, Via
from telephony.sip.message import Headers, Request, Response, serialise
from telephony.sip.schedule import Schedule, Timed
from telephony.sip.transaction import (
    Address,
    Key,
    Transaction,
    answer_event,
    client_key,
    response_key,
    server_key,
    status_event,
)
from telephony.sip.transaction_tables import Do, Event, Kind

OnResult = Callable[[Response | None, Address, float], None]
"""Called with each response, or ``None`` when the transaction timed out; then the source and ``now``."""


@dataclass(slots=True)
class Client:
    """A request of ours on its way."""

    transaction: Transaction
    request: Request
    on_result: OnResult
    owner: Timed | None


class TransactionLayer:
    """Owns the transactions; ``outputs`` fills with what the shell must do."""

    def __init__(
        self,
        *,
        local: Callable[[str], Address],
        token: Callable[[], str],
        transport: str = "UDP",
        reliable: bool = False,
    ) -> None:
        self.outputs: deque[Output] = deque()
        self.schedule = Schedule()
        self._local, self._token, self._transport, self._reliable = local, token, transport, reliable
        self._servers: dict[Key, Transaction] = {}
        self._clients: dict[Key, Client] = {}
        self.kept_requests = 0
        """Server transactions that are no INVITEs: each waits 32 s for repetitions (RFC 3261 §17.2.2)."""

    def __len__(self) -> int:
        return len(self._servers) + len(self._clients)

    # -- our requests

    def request(
        self, request: Request, destination: Address, now: float, on_result: OnResult, owner: Timed | None = None
    ) -> Client:
        """Send a request with a new branch and repeat it until it is answered."""
        branch = self.add_via(request, destination)
        return self._open_client(request, branch, destination, now, on_result, owner)

    def cancel(self, client: Client, now: float, on_result: OnResult) -> None:
        """CANCEL for an INVITE of ours: same branch, own transaction (RFC 3261 §9.1)."""
        via = client.request.vias[0]
        request = _beside(client.request, "CANCEL", to=client.request.headers.get("to") or "")
        self._open_client(request, via.branch, client.transaction.peer, now, on_result, client.owner)

    def _open_client(
        self, request: Request, branch: str, destination: Address, now: float, on_result: OnResult, owner: Timed | None
    ) -> Client:
        data = serialise(request)
        kind = Kind.INVITE_CLIENT if request.method == "INVITE" else Kind.CLIENT
        key = client_key(branch, request.method)
        transaction = Transaction(kind, key, peer=destination, now=now, first=data, reliable=self._reliable)
        client = Client(transaction, request, on_result, owner)
        self._clients[key] = client
        self.schedule.update(transaction)
        self.send(data, destination)
        return client

    def add_via(self, request: Request, destination: Address) -> str:
        """Put our Via with a new branch in front; returns the branch."""
        host, port = self._local(destination[0])
        branch = COOKIE + self._token()
        via = Via(transport=self._transport, host=host, port=port, params=(("rport", None), ("branch", branch)))
        request.headers = Headers([("Via", str(via)), *request.headers])
        request.__dict__.pop("vias", None)
        return branch

    def send(self, data: bytes, destination: Address) -> None:
        self.outputs.append(Transmit(data=data, destination=destination))

    # -- what comes in

    def receive_response(self, response: Response, source: Address, now: float) -> None:
        client = self._clients.get(response_key(response))
        if client is None:
            self.outputs.append(Dropped(source=source, rule="response-without-transaction"))
            return
        for effect in client.transaction.feed(status_event(response.status), now):
            if effect.do is Do.ACK:
                ack = _beside(client.request, "ACK", to=response.headers.get("to") or "")
                self.send(serialise(ack), client.transaction.peer)
            elif effect.do is Do.PASS_UP:
                self._tell(client, response, source, now)
        self._settle(client.transaction)

    def find(self, request: Request) -> Transaction | None:
        """The server transaction that this request, its ACK or its repetition belongs to."""
        return self._servers.get(server_key(request))

    def find_invite(self, cancel: Request) -> Transaction | None:
        """The INVITE that a CANCEL means (RFC 3261 §9.2)."""
        invite = Request(method="INVITE", uri=cancel.uri, headers=cancel.headers)
        return self._servers.get(server_key(invite))

    def repeat(self, transaction: Transaction, request: Request, now: float) -> bool:
        """Feed a repetition or an ACK; returns whether the owner of the 2xx must see this ACK."""
        event = Event.RX_ACK if request.method == "ACK" else Event.RX_REQUEST
        passed = False
        for effect in transaction.feed(event, now):
            if effect.do is Do.RESEND:
                self.send(effect.data, transaction.peer)
            passed = passed or effect.do is Do.PASS_UP
        self._settle(transaction)
        return passed

    def open_server(self, request: Request, source: Address, now: float) -> Transaction:
        """A new request of the peer."""
        kind = Kind.INVITE_SERVER if request.method == "INVITE" else Kind.SERVER
        peer = responses.reply_address(request, source)
        transaction = Transaction(kind, server_key(request), peer=peer, now=now, reliable=self._reliable)
        self._servers[transaction.key] = transaction
        self.kept_requests += kind is Kind.SERVER
        return transaction

    def respond(self, transaction: Transaction, response: Response, now: float) -> bytes:
        """Send a response in its transaction; one too many is not sent (a final is final)."""
        data = serialise(response)
        for effect in transaction.feed(answer_event(response.status), now, data=data):
            if effect.do is Do.SEND:
                self.send(effect.data, transaction.peer)
        self._settle(transaction)
        return data

    # -- time

    def handle_timer(self, transaction: Transaction, now: float) -> None:
        client = self._clients.get(transaction.key)
        for effect in transaction.handle_timer(now):
            if effect.do is Do.RESEND:
                self.send(effect.data, transaction.peer)
            elif effect.do is Do.TELL_TIMEOUT and client is not None and client.transaction is transaction:
                self._tell(client, None, transaction.peer, now)
        self._settle(transaction)

    def _tell(self, client: Client, response: Response | None, source: Address, now: float) -> None:
        client.on_result(response, source, now)
        if client.owner is not None:
            self.schedule.update(client.owner)

    def _settle(self, transaction: Transaction) -> None:
        self.schedule.update(transaction)
        if transaction.is_over:
            table: dict[Key, Transaction] | dict[Key, Client]
            table = self._servers if transaction.kind in {Kind.SERVER, Kind.INVITE_SERVER} else self._clients
            known = table.pop(transaction.key, None)
            self.kept_requests -= known is not None and transaction.kind is Kind.SERVER


def _beside(invite: Request, method: str, *, to: str) -> Request:
    """CANCEL, or the ACK of a failure: same branch, Route, From, Call-ID and number (RFC 3261 §9.1, §17.1.1.3)."""
    headers = Headers([("Via", str(invite.vias[0]))])
    for value in invite.headers.get_all("route"):
        headers.add("Route", value)
    headers.add("Max-Forwards", "70")
    headers.add("From", invite.headers.get("from") or "")
    headers.add("To", to)
    headers.add("Call-ID", invite.call_id)
    headers.add("CSeq", f"{invite.cseq.number} {method}")
    return Request(method=method, uri=invite.uri, headers=headers)
