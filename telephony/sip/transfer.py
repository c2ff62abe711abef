"""Blind transfer: our REFER and its NOTIFYs, the peer's REFER and ours (RFC 3515, RFC 5589 §6). Pure.

Seam: attended transfer would put ``Replaces`` into the target's headers (RFC 3891) and needs nothing else here.
"""

from __future__ import annotations

from telephony.errors import LocalProtocolError, RemoteProtocolError
from telephony.events import TransferOutcome
from telephony.sip.actions import ReferAsked, TransferNews
from telephony.sip.call import Call, Phase, Transfer, Wait
from telephony.sip.headers.name_addr import NameAddr
from telephony.sip.headers.sipfrag import Sipfrag
from telephony.sip.headers.uri import Uri
from telephony.sip.message import Request, Response
from telephony.sip.transaction import Address


def ask(call: Call, target: str, now: float) -> None:
    """Send REFER; outcomes arrive as ``TransferNews``. Raises ``LocalProtocolError`` when it cannot be asked."""
    if call.phase is not Phase.ESTABLISHED or call.transfer is not None or call.dialog is None:
        raise LocalProtocolError("call is not ready for a transfer")
    try:
        uri = Uri.parse(target, where="transfer target")
    except RemoteProtocolError as error:
        raise LocalProtocolError(str(error)) from None
    call.transfer = Transfer()
    request = call.dialog.request("REFER")
    request.headers.add("Refer-To", str(NameAddr(uri=uri)))
    request.headers.add("Referred-By", f"<{call.dialog.local.uri}>")
    request.headers.add(*call.contact())

    def on_result(response: Response | None, source: Address, at: float) -> None:
        _asked(call, response, at)

    call.send_request(request, now, on_result)


def _asked(call: Call, response: Response | None, now: float) -> None:
    if call.is_over or call.transfer is None or (response is not None and response.status < 200):
        return
    if response is None:
        call.transfer_settled(TransferOutcome.FAILED, 408, "no answer to REFER", now)
    elif response.status < 300:
        call.waits[Wait.TRANSFER] = now + call.services.settings.transfer_wait_s
        news(call, TransferOutcome.ACCEPTED, response.status, response.reason)
    else:
        call.transfer_settled(TransferOutcome.FAILED, response.status, response.reason, now)


def read_notify(call: Call, request: Request) -> tuple[Sipfrag, bool]:
    """What a NOTIFY says and whether it is the last one; raises 481 or 489 where nobody asked."""
    event = (request.headers.get("event") or "").partition(";")[0].strip().lower()
    if event != "refer":
        raise RemoteProtocolError("Event: only refer", rule="unknown-event", status_hint=489)
    if call.transfer is None:
        raise RemoteProtocolError("no subscription", rule="unknown-subscription", status_hint=481)
    if not request.content_type.startswith("message/sipfrag"):
        raise RemoteProtocolError("Content-Type: not sipfrag", rule="unsupported-body", status_hint=415)
    state = (request.headers.get("subscription-state") or "").strip().lower()
    return Sipfrag.parse(request.body), state.startswith("terminated")


def notified(call: Call, found: tuple[Sipfrag, bool], now: float) -> None:
    """Act on a NOTIFY that has been answered."""
    frag, is_last = found
    if call.transfer is None or call.transfer.settled:
        return
    if frag.status < 200 and not is_last:
        call.waits[Wait.TRANSFER] = now + call.services.settings.transfer_wait_s
        news(call, TransferOutcome.PROGRESS, frag.status, frag.reason)
    elif frag.status < 200:  # the peer stops telling, as some trunks do at once: it took the call
        call.transfer_settled(TransferOutcome.SUCCEEDED, 202, "accepted, outcome not reported", now)
    else:
        outcome = TransferOutcome.SUCCEEDED if frag.status < 300 else TransferOutcome.FAILED
        call.transfer_settled(outcome, frag.status, frag.reason, now)


def news(call: Call, outcome: TransferOutcome, status: int, reason: str) -> None:
    call.services.emit(TransferNews(call=call.key, outcome=outcome, status=status, reason=reason))


def judge(call: Call, request: Request) -> None:
    """Whether a REFER of the peer may stand; raises with the configured status where it may not."""
    settings = call.services.settings
    if settings.refer == "refuse":
        raise RemoteProtocolError("REFER: not allowed", rule="refer-refused", status_hint=settings.refer_status)
    if len(request.headers.get_all("refer-to")) != 1:
        raise RemoteProtocolError("Refer-To: exactly one is needed", rule="bad-refer-to")
    NameAddr.parse(request.headers.get("refer-to") or "", where="Refer-To")


def report(call: Call, request: Request, now: float) -> None:
    """After the 202: the immediate NOTIFY that RFC 3515 §2.4.4 asks for, and the fact for the owner."""
    target = NameAddr.parse(request.headers.get("refer-to") or "", where="Refer-To")
    notify(call, 100, "Trying", now)
    call.services.emit(ReferAsked(call=call.key, target=str(target.uri)))


def notify(call: Call, status: int, reason: str, now: float) -> None:
    """Tell the peer how the transfer that it asked for goes; from 200 on the subscription ends."""
    if call.is_over or call.dialog is None:
        return
    request = call.dialog.request("NOTIFY")
    state = "active;expires=60" if status < 200 else "terminated;reason=noresource"
    for name, value in (("Event", "refer"), ("Subscription-State", state), call.contact()):
        request.headers.add(name, value)
    request.headers.add("Content-Type", "message/sipfrag;version=2.0")
    request.body = bytes(Sipfrag(status=status, reason=reason))
    call.send_request(request, now, lambda response, source, at: None)
