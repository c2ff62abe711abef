"""The caller's side of an INVITE (RFC 3261 §13.2): dial, progress, answer, failure, CANCEL. Pure.

How to place calls (the simulated caller and ``SipPlane`` do it this way). All names are of
``telephony.sip.endpoint.SipEndpoint``; the endpoint has no socket and no clock::

    endpoint = SipEndpoint(
        SipSettings(allow=("127.0.0.0/8",), refer="report", user="caller"),
        local=lambda peer_ip: ("127.0.0.1", my_sip_port),    # what Via and Contact say
        token=lambda: secrets.token_hex(16),
        random=random.Random(seed).random,
    )
    key = endpoint.dial("sip:agent@127.0.0.1:5060", ("127.0.0.1", 5060), rtp=("127.0.0.1", my_rtp_port), now=now,
                        caller="sip:alice@127.0.0.1", headers=(("X-Test", "1"),))

then, for ever: ``endpoint.receive(data, source, now)`` for each datagram, ``endpoint.handle_timer(now)`` when
``endpoint.next_deadline()`` has come, and after each of these and each command carry out ``endpoint.poll()``:
``Transmit`` (send it), ``Progressed`` (18x, early media), ``Established`` (2xx seen and acknowledged; ``media`` is a
``LegMedia``), ``MediaChanged`` (the far end held or resumed us, or our re-INVITE was accepted), ``OfferFailed``,
``InfoDigit``, ``ReferAsked``, ``TransferNews``, ``Ended`` (once), ``ByeAnswered`` (the far end's answer to our BYE,
after ``Ended``), ``Refused``, ``Dropped``: all in ``telephony.sip.actions``.

Commands: ``hang_up(key, reason, now)`` (BYE, or CANCEL before an answer), ``hold(key, now)`` and ``resume(key, now)``
(re-INVITE ``sendonly`` / ``sendrecv``), ``send_info_digit(key, digit, duration_ms, now)``, ``transfer(key, target,
now)``, ``notify_refer(key, status, reason, now)`` after ``ReferAsked`` (202 and NOTIFY 100 are sent by the core; this
sends the outcome, a status from 200 ends the subscription).

Seams: digest answers would go where ``_final`` sees 401 and 407; forked 2xx are acknowledged and released (§13.2.2.4).
"""

from __future__ import annotations

from telephony.errors import RemoteProtocolError
from telephony.sdp import session as sdp
from telephony.sdp.offer_answer import AudioSession
from telephony.sip import responses, session_timer
from telephony.sip.actions import Established, Progressed
from telephony.sip.call import Call, Phase, Wait
from telephony.sip.dialog import Dialog, of_response
from telephony.sip.dialog_table import DialogEvent
from telephony.sip.headers.name_addr import NameAddr
from telephony.sip.headers.session_expires import MIN_SE_S, SessionExpires
from telephony.sip.headers.uri import Uri
from telephony.sip.message import Headers, Request, Response
from telephony.sip.settings import Services
from telephony.sip.transaction import Address


def open_call(
    services: Services,
    key: str,
    target: str,
    destination: Address,
    *,
    rtp: Address,
    caller: str,
    headers: tuple[tuple[str, str], ...],
    now: float,
) -> Call:
    """Send the INVITE with our offer. Raises ``RemoteProtocolError`` for a target that is no SIP URI."""
    uri = Uri.parse(target, where="target")
    if not uri.is_sip:
        raise RemoteProtocolError("target: not a SIP URI", rule="bad-target")
    local_tag = services.token()
    host, port = services.local(destination[0])
    sender = Uri.parse(caller) if caller else Uri(scheme="sip", user=services.settings.user, host=host, port=port)
    invite = Request(method="INVITE", uri=str(uri), headers=Headers([("Max-Forwards", "70")]))
    invite.headers.add("From", str(NameAddr(uri=sender, params=(("tag", local_tag),))))
    invite.headers.add("To", str(NameAddr(uri=uri)))
    invite.headers.add("Call-ID", f"{services.token()}@{host}")
    call = Call(key, services, inbound=False, invite=invite, local_tag=local_tag)
    call.peer = destination
    call.audio = AudioSession(host=rtp[0], port=rtp[1], session_id=str(int(services.token()[:12], 16)))
    invite.body = call.audio.offer()
    _fill(call, headers)
    _send(call, destination, now, number=1)
    call.waits[Wait.RING_LIMIT] = now + services.settings.ring_limit_s
    return call


def _fill(call: Call, extra: tuple[tuple[str, str], ...]) -> None:
    settings = call.services.settings
    headers = [call.contact(), *responses.capabilities(), ("User-Agent", settings.user_agent), *extra]
    if settings.ask_session_timer:
        headers.append(("Session-Expires", str(SessionExpires(interval_s=max(settings.session_expires_s, MIN_SE_S)))))
    for name, value in (*headers, ("Content-Type", "application/sdp")):
        call.invite.headers.add(name, value)


def _send(call: Call, destination: Address, now: float, *, number: int) -> None:
    """Send ``call.invite`` under a new CSeq number and branch."""
    kept = [(name, value) for name, value in call.invite.headers if name.lower() not in {"via", "cseq"}]
    call.invite = Request(
        method="INVITE",
        uri=call.invite.uri,
        headers=Headers([*kept, ("CSeq", f"{number} INVITE")]),
        body=call.invite.body,
    )

    def on_result(response: Response | None, source: Address, at: float) -> None:
        receive_response(call, response, source, at)

    call.client = call.services.layer.request(call.invite, destination, now, on_result, owner=call)


def receive_response(call: Call, response: Response | None, source: Address, now: float) -> None:
    """Each response to our INVITE, or ``None`` when nobody answered for 64*T1."""
    if response is None:
        call.client = None
        call.end(by="network", status=408, reason=call.bye_reason or "timeout", event=DialogEvent.GONE, now=now)
    elif response.status < 200:
        _provisional(call, response, source, now)
    elif response.status < 300:
        _success(call, response, source, now)
    else:
        _failure(call, response, now)


def _provisional(call: Call, response: Response, source: Address, now: float) -> None:
    if call.phase is not Phase.DIALLING:
        return
    if call.bye_reason and Wait.CANCELLED not in call.waits:  # the CANCEL had to wait for this (§9.1)
        call.give_up_dialling(call.bye_reason, now)
        return
    if response.status == 100 or call.bye_reason:
        return
    if response.to.tag and (call.dialog is None or call.dialog.remote.tag != response.to.tag):
        call.dialog = of_response(call.invite, response, source=source)  # the latest fork is the early dialog
    media = None
    if response.body and response.content_type == "application/sdp" and call.audio is not None:
        try:
            media = call.leg_media(call.audio.accept(sdp.parse(response.body)))
        except RemoteProtocolError:
            media = None  # early media that we cannot use is no reason to give up the call
    call.services.emit(Progressed(call=call.key, status=response.status, media=media))


def _success(call: Call, response: Response, source: Address, now: float) -> None:
    if call.phase is not Phase.DIALLING:
        _another_success(call, response, source, now)
        return
    dialog = of_response(call.invite, response, source=source)
    dialog.feed(DialogEvent.ANSWERED)
    call.dialog, call.client, call.peer = dialog, None, source
    call.waits.clear()
    call.phase = Phase.ESTABLISHED
    call.acknowledge(response, now)
    if call.bye_reason:  # our CANCEL crossed the 2xx: ACK, then BYE (§15)
        call.hang_up(call.bye_reason, now)
        return
    call.rearm(session_timer.as_uac(response, now=now))
    assert call.audio is not None
    try:
        agreed = call.audio.accept(sdp.parse(response.body)) if response.body else call.audio.agreed
    except RemoteProtocolError:
        agreed = None
    if agreed is None:
        call.hang_up("no_answer_sdp", now, by="network", status=488)
        return
    call.services.emit(Established(call=call.key, media=call.leg_media(agreed)))


def _another_success(call: Call, response: Response, source: Address, now: float) -> None:
    """The same 2xx again: the same ACK. One of another fork: ACK and BYE (§13.2.2.4)."""
    if call.dialog is not None and response.to.tag == call.dialog.remote.tag:
        call.acknowledge(response, now)
        return
    stray: Dialog = of_response(call.invite, response, source=source)
    call.acknowledge(response, now, dialog=stray)
    bye = stray.request("BYE")
    call.services.layer.request(bye, stray.next_hop(), now, lambda answer, address, at: None)


def _failure(call: Call, response: Response, now: float) -> None:
    if call.phase is not Phase.DIALLING:
        return
    call.client = None
    if response.status == 422 and not call.bye_reason and _retry_with_longer_timer(call, response, now):
        return
    by, reason = ("us", call.bye_reason) if call.bye_reason else ("caller", "failed")
    call.end(by=by, status=response.status, reason=reason, event=DialogEvent.REFUSED, now=now)


def _retry_with_longer_timer(call: Call, response: Response, now: float) -> bool:
    """422 names the least interval (RFC 4028 §7.3): once more with it."""
    least = (response.headers.get("min-se") or "").partition(";")[0].strip()
    if not (least.isascii() and least.isdigit() and len(least) < 6) or call.invite.headers.get("min-se"):
        return False
    kept = [(name, value) for name, value in call.invite.headers if name.lower() != "session-expires"]
    told = str(SessionExpires(interval_s=max(int(least), call.services.settings.session_expires_s)))
    call.invite.headers = Headers([*kept, ("Session-Expires", told), ("Min-SE", least)])
    _send(call, call.peer, now, number=call.invite.cseq.number + 1)
    return True
