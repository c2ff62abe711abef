"""The SIP endpoint: datagrams and ``now`` in, outputs out (RFC 3261 §8, §9, §12). Pure; both roles on one address.

Drive it: ``receive`` each datagram, ``handle_timer`` when ``next_deadline`` has come, and after each of these and
each command carry out what ``poll`` returns. ``telephony.sip.uac`` shows the caller's side, ``telephony.sip_plane``
is the asyncio shell. Commands on a call that is over or unknown do nothing.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Iterable
from contextlib import suppress

from telephony.errors import RemoteProtocolError
from telephony.media import LegMedia
from telephony.sdp.session import Flow
from telephony.sip import in_dialog, responses, transfer, uac, uas
from telephony.sip.actions import Dropped, Output, Refused
from telephony.sip.call import Call, Phase
from telephony.sip.headers.dtmf_relay import DtmfRelay
from telephony.sip.layer import TransactionLayer
from telephony.sip.message import MessageRefused, Request, Response, parse_message, serialise
from telephony.sip.settings import Services, SipSettings
from telephony.sip.transaction import Address, Transaction
from telephony.sip.transaction_tables import Kind


class SipEndpoint:
    """One SIP address with all its calls and transactions."""

    def __init__(
        self,
        settings: SipSettings,
        *,
        local: Callable[[str], Address],
        token: Callable[[], str],
        random: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._layer = TransactionLayer(local=local, token=token)
        self._services = Services(settings=settings, layer=self._layer, local=local, token=token, random=random)
        self._allow = tuple(ipaddress.ip_network(text, strict=False) for text in settings.allow)
        self._calls: dict[str, Call] = {}
        self._by_tag: dict[tuple[str, str], Call] = {}
        """By Call-ID and our tag; the peer's tag is compared afterwards (RFC 3261 §12)."""
        self._invites: dict[Transaction, Call] = {}
        self._merges: dict[tuple[str, str, str], Transaction] = {}
        self._merge_of: dict[Transaction, tuple[str, str, str]] = {}
        self._count = 0
        self._secret = token()
        self.is_draining = False
        """Refuse new calls and answer OPTIONS with 503; running calls go on."""

    # -- driving

    def poll(self) -> list[Output]:
        """All outputs since the last call, in order."""
        outputs = list(self._layer.outputs)
        self._layer.outputs.clear()
        return outputs

    def next_deadline(self) -> float | None:
        return self._layer.schedule.next_deadline()

    def handle_timer(self, now: float) -> None:
        """Everything that is due."""
        for owner in self._layer.schedule.due(now):
            if isinstance(owner, Transaction):
                self._layer.handle_timer(owner, now)
                self._forget_transaction(owner)
            elif isinstance(owner, Call):
                owner.handle_timer(now)
                self._touch(owner)

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """One datagram. Never raises for what a peer sends."""
        if not self._is_allowed(source[0]):
            self._drop(source, "source-not-allowed")
            return
        if not data.strip(b"\r\n\0 "):
            self._drop(source, "keepalive")
            return
        try:
            message = parse_message(data)
        except MessageRefused as refused:
            self._answer_broken(refused, source)
            return
        if isinstance(message, Response):
            self._layer.receive_response(message, source, now)
            return
        responses.stamp(message, source)
        self._receive_request(message, source, now)

    @property
    def half_open(self) -> int:
        """Inbound calls that are not established."""
        return sum(1 for call in self._calls.values() if call.is_half_open)

    # -- commands

    def dial(
        self,
        target: str,
        destination: Address,
        *,
        rtp: Address,
        now: float,
        caller: str = "",
        headers: Iterable[tuple[str, str]] = (),
    ) -> str:
        """Place a call; returns its key. Raises ``RemoteProtocolError`` for a bad target or caller."""
        key = self._new_key()
        call = uac.open_call(
            self._services, key, target, destination, rtp=rtp, caller=caller, headers=tuple(headers), now=now
        )
        self._register(call)
        return key

    def ring(self, key: str, now: float) -> None:
        """180."""
        self._with(key, lambda call: uas.ring(call, now))

    def prepare(self, key: str, rtp: Address) -> LegMedia | None:
        """Fix the answer with our RTP address; ``None`` when the call is over. Then open the media, then ``accept``."""
        call = self._calls.get(key)
        return uas.prepare(call, rtp) if call is not None and call.phase is Phase.OFFERED else None

    def accept(self, key: str, now: float, *, headers: Iterable[tuple[str, str]] = ()) -> bool:
        """200 with what ``prepare`` fixed and headers of the owner's; false when the call is over."""
        call = self._calls.get(key)
        if call is None or call.phase is not Phase.OFFERED:
            return False
        uas.accept(call, now, headers=headers)
        self._touch(call)
        return True

    def refuse(self, key: str, status: int, reason: str, now: float, *, retry_after_s: int | None = None) -> None:
        """A final failure for an offered call."""
        self._with(key, lambda call: uas.refuse(call, status, reason, now, retry_after_s=retry_after_s))

    def hang_up(self, key: str, reason: str, now: float) -> None:
        """BYE, CANCEL or 480, whatever the call's phase asks for."""

        def act(call: Call) -> None:
            if call.phase is Phase.OFFERED:
                uas.refuse(call, 480, "", now)
            elif call.phase is Phase.DIALLING:
                call.give_up_dialling(reason, now)
            elif not call.is_over:
                call.hang_up(reason, now)

        self._with(key, act)

    def hold(self, key: str, now: float) -> None:
        """re-INVITE ``sendonly``: the far end must not send."""
        self._with(key, lambda call: call.reoffer(Flow.SENDONLY, now))

    def resume(self, key: str, now: float) -> None:
        """re-INVITE ``sendrecv``."""
        self._with(key, lambda call: call.reoffer(Flow.SENDRECV, now))

    def transfer(self, key: str, target: str, now: float) -> None:
        """REFER; raises ``LocalProtocolError`` for a bad target or a call that is not established."""
        self._with(key, lambda call: transfer.ask(call, target, now))

    def notify_refer(self, key: str, status: int, reason: str, now: float) -> None:
        """Outcome of a transfer that the peer asked for."""
        self._with(key, lambda call: transfer.notify(call, status, reason, now))

    def send_info_digit(self, key: str, digit: str, duration_ms: int, now: float) -> None:
        """One key by INFO, for peers without telephone-event."""

        def act(call: Call) -> None:
            if call.phase is Phase.ESTABLISHED and call.dialog is not None:
                request = call.dialog.request("INFO")
                request.headers.add("Content-Type", "application/dtmf-relay")
                request.body = bytes(DtmfRelay(digit=digit, duration_ms=duration_ms))
                call.send_request(request, now, lambda response, source, at: None)

        self._with(key, act)

    # -- bookkeeping

    def _new_key(self) -> str:
        self._count += 1
        return f"sip-{self._count}"

    def _register(self, call: Call) -> None:
        self._calls[call.key] = call
        self._by_tag[call.invite.call_id, call.local_tag] = call
        self._touch(call)

    def _with(self, key: str, act: Callable[[Call], None]) -> None:
        call = self._calls.get(key)
        if call is not None and not call.is_over:
            act(call)
            self._touch(call)

    def _touch(self, call: Call) -> None:
        self._layer.schedule.update(call)
        if call.is_over and not call.waits:  # it has lingered long enough
            self._calls.pop(call.key, None)
            self._by_tag.pop((call.invite.call_id, call.local_tag), None)

    def _forget_transaction(self, transaction: Transaction) -> None:
        if transaction.is_over:
            self._invites.pop(transaction, None)
            self._merges.pop(self._merge_of.pop(transaction, ("", "", "")), None)

    def _is_allowed(self, ip: str) -> bool:
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False
        return any(address in network for network in self._allow)

    def _drop(self, source: Address, rule: str) -> None:
        self._layer.outputs.append(Dropped(source=source, rule=rule))

    # -- requests

    def _receive_request(self, request: Request, source: Address, now: float) -> None:
        known = self._layer.find(request)
        if known is not None:
            if self._layer.repeat(known, request, now) and (call := self._invites.get(known)) is not None:
                call.receive_ack(request, now)  # RFC 2543 matching puts the ACK of a 2xx here
                self._touch(call)
            self._forget_transaction(known)
        elif request.method == "ACK":
            self._receive_ack(request, source, now)
        elif request.method == "INVITE" and not request.to.tag and self._is_full():
            self._refuse_without_state(request, source, self._full())
        elif request.method == "OPTIONS" and not request.to.tag and self._keeps(self._settings.max_kept_options):
            self._options_without_state(request, source)
        elif self._keeps(self._settings.max_kept_requests) and not self._must_be_heard(request):
            error = RemoteProtocolError("no more requests now", rule="too-many-requests", status_hint=503)
            self._refuse_without_state(request, source, error)
        else:
            self._receive_new(request, source, now)

    def _keeps(self, limit: int) -> bool:
        return self._layer.kept_requests >= limit

    def _must_be_heard(self, request: Request) -> bool:
        """INVITEs have a limit of their own; whoever has a call with us can always end it."""
        if request.method == "CANCEL":
            return self._layer.find_invite(request) is not None
        return request.method == "INVITE" or (request.method == "BYE" and self._find_call(request) is not None)

    def _is_full(self) -> bool:
        return self.is_draining or self.half_open >= self._settings.max_half_open

    def _full(self) -> RemoteProtocolError:
        rule = "draining" if self.is_draining else "too-many-half-open"
        return RemoteProtocolError("no new calls now", rule=rule, status_hint=503)

    def _receive_ack(self, ack: Request, source: Address, now: float) -> None:
        call = self._find_call(ack)
        if call is None:
            self._drop(source, "stray-ack")
            return
        call.receive_ack(ack, now)
        self._touch(call)

    def _receive_new(self, request: Request, source: Address, now: float) -> None:
        server = self._layer.open_server(request, source, now)
        call = self._find_call(request)
        try:
            uas.judge(request)
            if request.method == "CANCEL":
                self._cancel(request, source, server, now)
            elif request.to.tag:
                self._inside(call, request, source, server, now)
            else:
                self._outside(request, source, server, now)
        except RemoteProtocolError as error:
            self._refuse(request, source, error, server, now, to_tag=call.local_tag if call is not None else "")
        if call is not None:
            self._touch(call)

    def _inside(self, call: Call | None, request: Request, source: Address, server: Transaction, now: float) -> None:
        if call is None:
            raise RemoteProtocolError("no such dialog", rule="unknown-dialog", status_hint=481)
        if request.method == "INVITE":
            self._invites[server] = call
        in_dialog.receive(call, request, source, server, now)

    def _outside(self, request: Request, source: Address, server: Transaction, now: float) -> None:
        if request.method == "OPTIONS":
            self._options(request, server, now)
        elif request.method == "INVITE":
            self._new_call(request, source, server, now)
        elif request.method == "REFER":
            status = self._settings.refer_status
            raise RemoteProtocolError("REFER: not allowed", rule="refer-refused", status_hint=status)
        else:
            raise RemoteProtocolError("no dialog named", rule="unknown-dialog", status_hint=481)

    def _new_call(self, request: Request, source: Address, server: Transaction, now: float) -> None:
        merge = (request.call_id, str(request.cseq), request.from_.tag)
        if merge in self._merges:  # the same request over another path (RFC 3261 §8.2.2.2)
            raise RemoteProtocolError("merged request", rule="merged-request", status_hint=482)
        call = uas.open_call(self._services, self._new_key(), request, source, server, now)
        self._merges[merge], self._merge_of[server] = server, merge
        self._invites[server] = call
        self._register(call)

    def _options(self, request: Request, server: Transaction, now: float) -> None:
        self._layer.respond(server, self._capabilities(request), now)

    def _options_without_state(self, request: Request, source: Address) -> None:
        """A repetition is answered again: the answer costs less than its memory would."""
        try:
            uas.judge(request)
        except RemoteProtocolError as error:
            self._refuse_without_state(request, source, error)
        else:
            self._layer.send(serialise(self._capabilities(request)), responses.reply_address(request, source))

    def _capabilities(self, request: Request) -> Response:
        """What an INVITE would get (RFC 3261 §11.2): balancers read 503 as "move away"."""
        status = 503 if self.is_draining else 200
        retry = self._settings.retry_after_s if self.is_draining else None
        extra = [("Accept", "application/sdp"), *responses.capabilities()]
        extra += responses.extra_for(status, retry_after_s=retry)
        return responses.make(request, status, to_tag=self._stateless_tag(request), extra=extra)

    def _cancel(self, request: Request, source: Address, server: Transaction, now: float) -> None:
        """200 to the CANCEL, 487 to its INVITE (RFC 3261 §9.2); only from where the INVITE came."""
        invite = self._layer.find_invite(request)
        call = self._invites.get(invite) if invite is not None else None
        if invite is None or invite.kind is not Kind.INVITE_SERVER or invite.peer[0] != source[0]:
            raise RemoteProtocolError("nothing to cancel", rule="unknown-transaction", status_hint=481)
        tag = call.local_tag if call is not None else self._stateless_tag(request)
        self._layer.respond(server, responses.make(request, 200, to_tag=tag), now)
        if call is not None and call.server is invite:
            uas.cancelled(call, now)
            self._touch(call)

    def _find_call(self, request: Request) -> Call | None:
        call = self._by_tag.get((request.call_id, request.to.tag))
        if call is None or call.dialog is None or call.dialog.remote.tag != request.from_.tag:
            return None
        return call

    # -- refusals

    def _refuse(
        self,
        request: Request,
        source: Address,
        error: RemoteProtocolError,
        server: Transaction,
        now: float,
        *,
        to_tag: str,
    ) -> None:
        response = self._failure(request, error, to_tag or self._stateless_tag(request))
        self._layer.respond(server, response, now)
        self._note(request, source, error)

    def _refuse_without_state(self, request: Request, source: Address, error: RemoteProtocolError) -> None:
        """Above the limits, and for broken messages: nothing is kept, a repetition is answered again (§8.2.7)."""
        response = self._failure(request, error, self._stateless_tag(request))
        self._layer.send(serialise(response), _reply_address(request, source))
        self._note(request, source, error)

    def _answer_broken(self, refused: MessageRefused, source: Address) -> None:
        request = refused.request
        if request is None or request.method == "ACK":
            self._drop(source, refused.rule)
            return
        with suppress(RemoteProtocolError, IndexError):  # a Via that cannot be read is copied as it is
            responses.stamp(request, source)
        self._refuse_without_state(request, source, refused)

    def _failure(self, request: Request, error: RemoteProtocolError, to_tag: str) -> Response:
        status = error.status_hint
        retry = None
        if status == 503:
            retry = self._settings.retry_after_s
        elif error.rule in {"invite-pending", "offer-pending"}:  # RFC 3261 §14.2: 0 to 10 s, drawn at random
            retry = round(self._services.random() * 10)
        wrong = uas.unsupported(request) if status == 420 else ()
        extra = responses.extra_for(status, unsupported=wrong, retry_after_s=retry)
        if error.rule == "unknown-dialog" or status not in responses.REASONS:
            return responses.make(request, status, to_tag=to_tag, extra=extra)
        return responses.make(request, status, _reason(status, error), to_tag=to_tag, extra=extra)

    def _note(self, request: Request, source: Address, error: RemoteProtocolError) -> None:
        output = Refused(
            source=source, method=request.method, status=error.status_hint, rule=error.rule, reason=str(error)
        )
        self._layer.outputs.append(output)

    def _stateless_tag(self, request: Request) -> str:
        """The same To tag for the same request, without memory (RFC 3261 §8.2.7)."""
        text = "\n".join((self._secret, request.call_id, *request.headers.get_all("via")[:1]))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _reason(status: int, error: RemoteProtocolError) -> str:
    """400 names what was wrong (RFC 3261 §21.4.1); other statuses keep their own words."""
    return f"Bad Request ({error})" if status == 400 else ""


def _reply_address(request: Request, source: Address) -> Address:
    try:
        return responses.reply_address(request, source)
    except (RemoteProtocolError, IndexError):
        return source
