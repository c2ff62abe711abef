"""The callee's side of a new INVITE (RFC 3261 §8.2, §13.3): judge it, ring, accept, refuse. Pure.

One call however often the INVITE comes: repetitions are the transaction's business and never arrive here.
Seams: TLS and SRTP are other transports and SDP profiles (488 today), attended transfer would admit ``Replaces`` in
``open_call``.
"""

from __future__ import annotations

from collections.abc import Iterable

from telephony.errors import LocalProtocolError, RemoteProtocolError
from telephony.media import LegMedia
from telephony.sdp import session as sdp
from telephony.sdp.offer_answer import CODECS, DTMF_PAYLOAD_TYPE, AudioSession, choose
from telephony.sip import responses, session_timer
from telephony.sip.actions import Offered
from telephony.sip.call import Call, Phase, Wait
from telephony.sip.dialog import of_invite
from telephony.sip.dialog_table import DialogEvent
from telephony.sip.message import Request
from telephony.sip.settings import Services
from telephony.sip.transaction import Address, Transaction


def judge(request: Request) -> None:
    """Rules for every request, inside a dialog or not (§8.2.1 to §8.2.3); raises with status and rule.

    Max-Forwards 0 is no error here: an endpoint is the last hop (RFC 4475 §3.3.11), 483 is a proxy's answer.
    """
    if request.method not in responses.KNOWN:
        raise RemoteProtocolError("method not known", rule="unknown-method", status_hint=501)
    if request.method in responses.NOT_ALLOWED:
        raise RemoteProtocolError("method not allowed", rule="method-not-allowed", status_hint=405)
    if not request.target.is_sip:
        raise RemoteProtocolError("Request-URI: scheme", rule="unknown-uri-scheme", status_hint=416)
    if request.method not in {"CANCEL", "ACK"} and unsupported(request):
        raise RemoteProtocolError("Require: unknown option", rule="unsupported-extension", status_hint=420)


def unsupported(request: Request) -> list[str]:
    """Option tags of Require that we do not have (§8.2.2.3), as written."""
    asked = [item.strip() for value in request.headers.get_all("require") for item in value.split(",")]
    return [item for item in asked if item.lower() not in responses.SUPPORTED]


def judge_body(request: Request) -> None:
    """Only SDP is understood in INVITE and UPDATE (§8.2.3)."""
    encoded = (request.headers.get("content-encoding") or "identity").strip().lower()
    if request.body and (request.content_type != "application/sdp" or encoded != "identity"):
        raise RemoteProtocolError("Content-Type: only application/sdp", rule="unsupported-body", status_hint=415)


def read_offer(request: Request) -> sdp.SessionDescription | None:
    """The offer of an INVITE or UPDATE, known to hold a stream that we take; ``None`` without a body."""
    judge_body(request)
    if not request.body:
        return None
    offer = sdp.parse(request.body)
    choose(offer)
    return offer


def open_call(services: Services, key: str, request: Request, source: Address, server: Transaction, now: float) -> Call:
    """A new inbound call: 100 is sent and ``Offered`` emitted. Raises ``RemoteProtocolError`` to refuse it."""
    if request.headers.get("replaces") is not None:
        raise RemoteProtocolError("Replaces: not allowed", rule="replaces-refused", status_hint=603)
    offer = read_offer(request)
    _, headers = session_timer.as_uas(request, longest_s=services.settings.session_expires_s, now=now)
    call = Call(key, services, inbound=True, invite=request, local_tag=services.token())
    call.dialog = of_invite(request, local_tag=call.local_tag, source=source)
    call.peer, call.server, call.remote_offer = source, server, offer
    call.answer_headers = headers  # the timer itself starts with the 2xx
    call.on_ring_limit = lambda at: refuse(call, 480, "", at)
    call.waits[Wait.RING_LIMIT] = now + services.settings.ring_limit_s
    services.layer.respond(server, responses.make(request, 100), now)
    services.emit(
        Offered(
            call=key,
            from_uri=str(request.from_.uri),
            to_uri=str(request.to.uri),
            source=source,
            call_id=request.call_id,
            headers=tuple((name, value) for name, value in request.headers if name.lower().startswith("x-")),
        )
    )
    return call


def ring(call: Call, now: float) -> None:
    """180 with our tag and Contact; nothing once the call is answered."""
    if call.phase is Phase.OFFERED:
        _respond(call, 180, [call.contact(), *_record_route(call)], b"", now)


def prepare(call: Call, rtp: Address) -> LegMedia:
    """Fix our SDP answer (or late offer) with ``rtp`` as our address; raises ``LocalProtocolError`` when too late."""
    if call.phase is not Phase.OFFERED:
        raise LocalProtocolError("call is no longer on offer")
    call.audio = AudioSession(host=rtp[0], port=rtp[1], session_id=str(int(call.services.token()[:12], 16)))
    if call.remote_offer is not None:
        call.answer_body, agreed = call.audio.answer(call.remote_offer)
        return call.leg_media(agreed)
    call.answer_body, call.offer_in_ack = call.audio.offer(), True
    return LegMedia(
        codec="PCMU",
        payload_type=CODECS["PCMU"],
        dtmf_payload_type=DTMF_PAYLOAD_TYPE,
        remote=None,
        signalling_ip=call.peer[0],
    )


def accept(call: Call, now: float, *, headers: Iterable[tuple[str, str]] = ()) -> None:
    """200 with what ``prepare`` fixed, repeated until its ACK."""
    if call.phase is not Phase.OFFERED or call.audio is None or call.dialog is None or call.server is None:
        raise LocalProtocolError("call is not prepared")
    extra = [call.contact(), *_record_route(call), *responses.capabilities(), *call.answer_headers, *headers]
    call.phase = Phase.ANSWERED
    call.waits.clear()
    call.dialog.feed(DialogEvent.ANSWERED)
    data = _respond(call, 200, extra, call.answer_body, now)
    call.keep_sending(data, call.server.peer, cseq=call.invite.cseq.number, now=now)
    timer, _ = session_timer.as_uas(call.invite, longest_s=call.services.settings.session_expires_s, now=now)
    call.rearm(timer)


def refuse(call: Call, status: int, reason: str, now: float, *, retry_after_s: int | None = None) -> None:
    """A final failure of our choice; nothing once the call is answered."""
    if call.phase is not Phase.OFFERED:
        return
    _respond(call, status, responses.extra_for(status, retry_after_s=retry_after_s), b"", now, reason=reason)
    call.end(by="us", status=status, reason="refused", event=DialogEvent.REFUSED, now=now)


def cancelled(call: Call, now: float) -> None:
    """The caller's CANCEL came before our final answer (§9.2): 487. Later it changes nothing."""
    if call.phase is Phase.OFFERED:
        _respond(call, 487, [], b"", now)
        call.end(by="caller", status=487, reason="cancel", event=DialogEvent.REFUSED, now=now)


def _record_route(call: Call) -> list[tuple[str, str]]:
    """Copied as it came, in order (§12.1.1)."""
    return [("Record-Route", value) for value in call.invite.headers.get_all("record-route")]


def _respond(
    call: Call, status: int, extra: list[tuple[str, str]], body: bytes, now: float, *, reason: str = ""
) -> bytes:
    assert call.server is not None
    response = responses.make(call.invite, status, reason, to_tag=call.local_tag, extra=extra, body=body)
    return call.services.layer.respond(call.server, response, now)
