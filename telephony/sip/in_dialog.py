"""Requests of the peer inside a dialog (RFC 3261 §12.2.2, §14.2, §15.1.2; RFC 3311; RFC 4028). Pure.

``receive`` returns the answer that is due; ``RemoteProtocolError`` means a refusal with its status and rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from telephony.errors import RemoteProtocolError
from telephony.events import TransferOutcome
from telephony.sdp.session import SessionDescription
from telephony.sip import responses, session_timer, transfer
from telephony.sip.actions import InfoDigit
from telephony.sip.call import Call, Phase
from telephony.sip.dialog_table import DialogEvent
from telephony.sip.headers.dtmf_relay import TYPES, DtmfRelay
from telephony.sip.message import Request
from telephony.sip.transaction import Address, Transaction
from telephony.sip.uas import read_offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A success to send."""

    status: int = 200
    extra: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def receive(call: Call, request: Request, source: Address, server: Transaction, now: float) -> None:
    """Judge the sequence number, carry the request out and answer it in ``server``."""
    dialog = call.dialog
    if dialog is None or (call.is_over and request.method != "BYE"):
        raise RemoteProtocolError("dialog is over", rule="unknown-dialog", status_hint=481)
    if not (call.is_over and request.method == "BYE"):
        dialog.check_cseq(request)
    answer = _HANDLERS.get(request.method, _unknown)(call, request, source, server, now)
    if answer is not None:
        _send(call, request, answer, server, now)
    if request.method == "REFER":
        transfer.report(call, request, now)


def _send(call: Call, request: Request, answer: Answer, server: Transaction, now: float) -> bytes:
    response = responses.make(request, answer.status, to_tag=call.local_tag, extra=answer.extra, body=answer.body)
    return call.services.layer.respond(server, response, now)


def _bye(call: Call, request: Request, source: Address, server: Transaction, now: float) -> Answer | None:
    """Answered whenever it comes; an INVITE that still waits gets 487 (§15.1.2)."""
    _send(call, request, Answer(), server, now)
    if call.is_over:
        return None
    if call.phase is Phase.OFFERED and call.server is not None:
        response = responses.make(call.invite, 487, to_tag=call.local_tag)
        call.services.layer.respond(call.server, response, now)
    reason = "bye"
    if call.transfer is not None and not call.transfer.settled:  # it left for the target: success in progress
        call.transfer.settled = True
        transfer.news(call, TransferOutcome.SUCCEEDED, 200, "the far end left after accepting")
        reason = "transferred"
    call.end(by="caller", status=200, reason=reason, event=DialogEvent.BYE_RECEIVED, now=now)
    return None


def _invite(call: Call, request: Request, source: Address, server: Transaction, now: float) -> Answer | None:
    """re-INVITE (§14.2): hold, resume, late offer, session refresh. The 2xx is repeated until its ACK."""
    if call.phase is Phase.OFFERED:
        raise _try_again("INVITE: one is pending", "invite-pending", 500)
    if call.client is not None or call.offer_in_ack:
        raise RemoteProtocolError("INVITE: ours is pending", rule="glare", status_hint=491)
    answer = _renegotiate(call, request, source, now, late_offer=True)
    data = _send(call, request, answer, server, now)
    call.keep_sending(data, server.peer, cseq=request.cseq.number, now=now)
    return None


def _update(call: Call, request: Request, source: Address, server: Transaction, now: float) -> Answer | None:
    """UPDATE (RFC 3311 §5.2): a refresh, with or without a new offer."""
    if request.body and call.phase is Phase.OFFERED:
        raise _try_again("UPDATE: an offer is pending", "offer-pending", 500)
    if request.body and (call.client is not None or call.offer_in_ack):
        raise RemoteProtocolError("UPDATE: our offer is pending", rule="glare", status_hint=491)
    return _renegotiate(call, request, source, now, late_offer=False)


def _renegotiate(call: Call, request: Request, source: Address, now: float, *, late_offer: bool) -> Answer:
    """Answer an offer, or offer ourselves; nothing changes when this raises."""
    offer = read_offer(request)
    timer, headers = session_timer.as_uas(request, longest_s=call.services.settings.session_expires_s, now=now)
    assert call.dialog is not None
    call.dialog.refresh_target(request, source)
    call.peer = source
    body = _answer_body(call, offer, late_offer=late_offer)
    call.rearm(timer)
    return Answer(extra=(call.contact(), *responses.capabilities(), *headers), body=body)


def _answer_body(call: Call, offer: SessionDescription | None, *, late_offer: bool) -> bytes:
    if call.audio is None:
        return b""
    if offer is not None:
        before = call.audio.agreed
        body, agreed = call.audio.answer(offer)
        if agreed != before:
            call.media_changed(agreed)
        return body
    if late_offer:
        call.offer_in_ack = True
        return call.audio.offer()
    return b""


def _info(call: Call, request: Request, source: Address, server: Transaction, now: float) -> Answer | None:
    """A key, or an empty INFO as a sign of life (RFC 6086 §4.2.2)."""
    if not request.body:
        return Answer()
    if request.content_type not in TYPES:
        raise RemoteProtocolError("Content-Type: of INFO", rule="unsupported-body", status_hint=415)
    key = DtmfRelay.parse(request.body)
    call.services.emit(InfoDigit(call=call.key, digit=key.digit, duration_ms=key.duration_ms))
    return Answer()


def _options(call: Call, request: Request, source: Address, server: Transaction, now: float) -> Answer | None:
    return Answer(extra=(("Accept", "application/sdp"), *responses.capabilities()))


def _refer(call: Call, request: Request, source: Address, server: Transaction, now: float) -> Answer | None:
    transfer.judge(call, request)
    return Answer(status=202, extra=(call.contact(),))


def _notify(call: Call, request: Request, source: Address, server: Transaction, now: float) -> Answer | None:
    """News of our REFER; answered before we act on it, so that the peer's last request is not left open."""
    found = transfer.read_notify(call, request)
    _send(call, request, Answer(), server, now)
    transfer.notified(call, found, now)
    return None


def _unknown(call: Call, request: Request, source: Address, server: Transaction, now: float) -> Answer | None:
    """PRACK: we never send reliable provisionals (RFC 3262 §3)."""
    raise RemoteProtocolError("nothing to acknowledge", rule="unknown-transaction", status_hint=481)


def _try_again(message: str, rule: str, status: int) -> RemoteProtocolError:
    return RemoteProtocolError(message, rule=rule, status_hint=status)


_HANDLERS: dict[str, Callable[[Call, Request, Address, Transaction, float], Answer | None]] = {
    "BYE": _bye,
    "INVITE": _invite,
    "UPDATE": _update,
    "INFO": _info,
    "OPTIONS": _options,
    "REFER": _refer,
    "NOTIFY": _notify,
}
