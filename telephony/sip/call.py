"""One call at the signalling level: a dialog, its audio session, its timers. Pure.

What both directions share lives here: repetition of our 2xx, BYE, our re-INVITE (hold, resume, refresh), session
timers. The beginning of a call is in ``uas`` and ``uac``, requests of the peer in ``in_dialog``, transfer in
``transfer``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from telephony.errors import RemoteProtocolError
from telephony.events import TransferOutcome
from telephony.media import LegMedia
from telephony.sdp import session as sdp
from telephony.sdp.offer_answer import Agreed, AudioSession
from telephony.sdp.session import Flow, SessionDescription
from telephony.sip import responses, session_timer
from telephony.sip.actions import ByeAnswered, Ended, Established, MediaChanged, OfferFailed, TransferNews
from telephony.sip.dialog import Dialog
from telephony.sip.dialog_table import DialogEvent
from telephony.sip.headers.session_expires import SessionExpires
from telephony.sip.layer import Client, OnResult
from telephony.sip.message import Request, Response, serialise
from telephony.sip.resender import Ok200Resender, ResendState
from telephony.sip.session_timer import SessionTimer
from telephony.sip.settings import Services
from telephony.sip.transaction import Address, Transaction
from telephony.sip.transaction_tables import T1_S

LINGER_S = 64 * T1_S
"""A call that is over still answers a repeated BYE for that long."""


class Phase(StrEnum):
    """Where a call stands."""

    OFFERED = "offered"
    """Inbound, not answered."""
    DIALLING = "dialling"
    """Outbound, not answered."""
    ANSWERED = "answered"
    """Inbound 2xx sent, ACK not seen."""
    ESTABLISHED = "established"
    OVER = "over"


class Wait(StrEnum):
    """One-shot timers of a call."""

    RING_LIMIT = "ring-limit"
    CANCELLED = "cancelled"
    GLARE = "glare"
    TRANSFER = "transfer"
    LINGER = "linger"


@dataclass(slots=True)
class Transfer:
    """A REFER of ours that was accepted."""

    settled: bool = False


class Call:
    """State of one call. Methods put their effects into the outputs of the shared transaction layer."""

    def __init__(self, key: str, services: Services, *, inbound: bool, invite: Request, local_tag: str) -> None:
        self.key, self.services, self.inbound = key, services, inbound
        self.invite, self.local_tag = invite, local_tag
        self.phase = Phase.OFFERED if inbound else Phase.DIALLING
        self.dialog: Dialog | None = None
        self.audio: AudioSession | None = None
        self.peer: Address = ("", 0)
        """Where the peer signals from."""
        self.server: Transaction | None = None
        """Of the inbound INVITE."""
        self.client: Client | None = None
        """Of our INVITE or re-INVITE while it has no final answer."""
        self.remote_offer: SessionDescription | None = None
        self.answer_body = b""
        self.answer_headers: list[tuple[str, str]] = []
        self.offer_in_ack = False
        """We offered in a 2xx: the ACK brings the answer (RFC 3261 §13.2.1)."""
        self.resenders: list[Ok200Resender] = []
        self.acks: dict[int, bytes] = {}
        """Our ACKs for 2xx by CSeq number, to send again for each repeated 2xx (§13.2.2.4)."""
        self.session_timer: SessionTimer | None = None
        self.waits: dict[Wait, float] = {}
        self.bye_reason = ""
        """Hang up as soon as it may be done."""
        self.transfer: Transfer | None = None
        self.on_ring_limit: Callable[[float], None] = lambda now: self.give_up_dialling("dial_timeout", now)
        """Nobody decided about this call for too long: no transaction timer ends that (RFC 6026 §8.8)."""
        self.wanted_flow: Flow | None = None
        """Direction of the re-INVITE that met a glare."""

    # -- small facts

    @property
    def is_over(self) -> bool:
        return self.phase is Phase.OVER

    @property
    def is_half_open(self) -> bool:
        return self.inbound and self.phase in {Phase.OFFERED, Phase.ANSWERED}

    def leg_media(self, agreed: Agreed) -> LegMedia:
        """What the edge must know."""
        return LegMedia(
            codec=agreed.codec,
            payload_type=agreed.payload_type,
            dtmf_payload_type=agreed.dtmf_payload_type,
            remote=agreed.remote,
            signalling_ip=self.peer[0],
            ptime_ms=agreed.ptime_ms,
            send=agreed.send,
            receive=agreed.receive,
        )

    def contact(self) -> tuple[str, str]:
        return ("Contact", self.services.contact(self.peer[0]))

    # -- requests of ours

    def send_request(self, request: Request, now: float, on_result: OnResult) -> Client:
        """Send a request inside the dialog; responses come back to ``on_result``."""
        dialog = self._dialog()
        return self.services.layer.request(request, dialog.next_hop(), now, on_result, owner=self)

    def _dialog(self) -> Dialog:
        assert self.dialog is not None
        return self.dialog

    def hang_up(self, reason: str, now: float, *, by: str = "us", status: int = 200) -> None:
        """BYE now, or after the ACK where it may not be sent yet (RFC 3261 §15)."""
        if self.phase is Phase.ANSWERED:
            self.bye_reason = reason
            return
        self._bye(now)
        self.end(by=by, status=status, reason=reason, event=DialogEvent.BYE_SENT, now=now)

    def _bye(self, now: float) -> None:
        request = self._dialog().request("BYE")
        request.headers.add("User-Agent", self.services.settings.user_agent)
        self.send_request(request, now, self._bye_result)

    def _bye_result(self, response: Response | None, source: Address, now: float) -> None:
        if response is None or response.status >= 200:
            self.services.emit(ByeAnswered(call=self.key, status=408 if response is None else response.status))

    def end(self, *, by: str, status: int, reason: str, event: DialogEvent, now: float) -> None:
        """Close the books of this call, once."""
        if self.is_over:
            return
        if self.dialog is not None:
            self.dialog.feed(event)
        self.phase = Phase.OVER
        self.resenders.clear()
        self.session_timer = None
        self.waits = {Wait.LINGER: now + LINGER_S}
        self.services.emit(Ended(call=self.key, by=by, status=status, reason=reason))

    # -- our 2xx and its ACK

    def keep_sending(self, data: bytes, destination: Address, *, cseq: int, now: float) -> None:
        """Repeat a 2xx to an INVITE until its ACK."""
        self.resenders.append(Ok200Resender(data, destination, cseq=cseq, now=now))

    def receive_ack(self, ack: Request, now: float) -> None:
        """The ACK of a 2xx (RFC 3261 §13.3.1.4)."""
        waiting = [one for one in self.resenders if one.cseq == ack.cseq.number]
        if not waiting:
            return
        self.resenders.remove(waiting[0])
        agreed_now = self._take_late_answer(ack, now)
        if self.is_over:
            return
        if self.phase is Phase.ANSWERED:
            self.phase = Phase.ESTABLISHED
            assert self.audio is not None
            assert self.audio.agreed is not None
            self.services.emit(Established(call=self.key, media=self.leg_media(self.audio.agreed)))
        elif agreed_now is not None:
            self.media_changed(agreed_now)
        if self.bye_reason:
            self.hang_up(self.bye_reason, now)

    def _take_late_answer(self, ack: Request, now: float) -> Agreed | None:
        if not self.offer_in_ack:
            return None
        self.offer_in_ack = False
        assert self.audio is not None
        try:
            return self.audio.accept(sdp.parse(ack.body))
        except RemoteProtocolError:
            self.phase = Phase.ESTABLISHED
            self.hang_up("no_answer_sdp", now, by="network", status=488)
            return None

    def media_changed(self, agreed: Agreed) -> None:
        self.services.emit(MediaChanged(call=self.key, media=self.leg_media(agreed), held=agreed.held))

    # -- our re-INVITE and refresh

    def reoffer(self, flow: Flow, now: float) -> None:
        """Hold (``SENDONLY``, ``INACTIVE``) or resume (``SENDRECV``) from our side."""
        if self.client is not None or self.resenders or self.phase is not Phase.ESTABLISHED:
            self.services.emit(OfferFailed(call=self.key, status=491))
            return
        assert self.audio is not None
        self.wanted_flow = flow
        request = self._dialog().request("INVITE")
        self._offer_headers(request)
        request.body = self.audio.offer(flow)
        request.headers.add("Content-Type", "application/sdp")
        self.client = self.send_request(request, now, self._reoffer_result)

    def _offer_headers(self, request: Request) -> None:
        for name, value in (self.contact(), *responses.capabilities()):
            request.headers.add(name, value)
        if self.session_timer is not None:
            ours = "uac" if self.session_timer.we_refresh else "uas"
            told = SessionExpires(interval_s=self.session_timer.interval_s, refresher=ours)
            request.headers.add("Session-Expires", str(told))

    def _reoffer_result(self, response: Response | None, source: Address, now: float) -> None:
        if response is not None and response.status < 200:
            return
        if response is not None and response.status < 300:
            self._reoffer_accepted(response, source, now)
            return
        self.client = None
        if self.is_over:
            return
        status = 408 if response is None else response.status
        if status in {408, 481}:  # RFC 3261 §12.2.1.2
            self.hang_up("gone", now, by="network", status=status)
        elif status == 491 and self.wanted_flow is not None:
            self.waits[Wait.GLARE] = now + self._glare_delay_s()
        else:
            self.services.emit(OfferFailed(call=self.key, status=status))

    def _glare_delay_s(self) -> float:
        """2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the other, in steps of 10 ms (RFC 3261 §14.1)."""
        draw = self.services.random()
        return round(draw * 200) / 100 if self.inbound else round(210 + draw * 190) / 100

    def _reoffer_accepted(self, response: Response, source: Address, now: float) -> None:
        self.acknowledge(response, now)
        ours = self.client is not None and self.client.request.cseq.number == response.cseq.number
        if not ours or self.is_over:  # a repeated 2xx
            return
        self.client = None
        self._dialog().refresh_target(response, source)
        self.rearm(session_timer.as_uac(response, now=now))
        assert self.audio is not None
        try:
            self.media_changed(self.audio.accept(sdp.parse(response.body)))
        except RemoteProtocolError:
            self.hang_up("no_answer_sdp", now, by="network", status=488)

    def rearm(self, timer: SessionTimer | None) -> None:
        """A 2xx to INVITE, re-INVITE or UPDATE decides anew (RFC 4028 §7.2, §9)."""
        self.session_timer = timer

    def acknowledge(self, response: Response, now: float, *, dialog: Dialog | None = None) -> None:
        """ACK a 2xx, the same bytes each time it comes (RFC 3261 §13.2.2.4)."""
        dialog = dialog or self._dialog()
        number = response.cseq.number
        hop = dialog.next_hop()
        data = self.acks.get(number) if dialog is self.dialog else None
        if data is None:
            ack = dialog.request("ACK", cseq=number)
            self.services.layer.add_via(ack, hop)
            data = serialise(ack)
            if dialog is self.dialog:
                self.acks = {number: data}
        self.services.layer.send(data, hop)

    def _refresh(self, now: float) -> None:
        """Our duty as refresher: UPDATE where the peer takes it, else the unchanged offer (RFC 4028 §7.4)."""
        assert self.session_timer is not None
        self.session_timer.refresh_at = None
        if self.client is not None or self.resenders:
            self.session_timer.refresh_at = now + 2.0
        elif "update" in self._dialog().allowed:
            request = self._dialog().request("UPDATE")
            self._offer_headers(request)
            self.send_request(request, now, self._refresh_result)
        else:
            assert self.audio is not None
            self.reoffer(self.audio.flow, now)

    def _refresh_result(self, response: Response | None, source: Address, now: float) -> None:
        if self.is_over or (response is not None and response.status < 200):
            return
        if response is not None and response.status < 300:
            self._dialog().refresh_target(response, source)
            self.rearm(session_timer.as_uac(response, now=now))
        elif response is None or response.status in {408, 481}:
            self.hang_up("gone", now, by="network", status=408 if response is None else response.status)

    # -- time

    def next_deadline(self) -> float | None:
        times = [*self.waits.values()]
        times += [at for one in self.resenders if (at := one.next_deadline()) is not None]
        if self.session_timer is not None:
            times.append(self.session_timer.next_deadline())
        return min(times, default=None)

    def handle_timer(self, now: float) -> None:
        self._resend(now)
        timer = self.session_timer
        if timer is not None and now >= timer.give_up_at:
            self.hang_up("session_expired", now, by="network", status=408)
        elif timer is not None and timer.refresh_at is not None and now >= timer.refresh_at:
            self._refresh(now)
        for wait in [wait for wait, at in self.waits.items() if at <= now]:
            self.waits.pop(wait, None)
            self._waited(wait, now)

    def _resend(self, now: float) -> None:
        for one in list(self.resenders):
            if one.handle_timer(now):
                self.services.layer.send(one.data, one.destination)
            elif one.state is ResendState.GAVE_UP:
                self.phase = Phase.ESTABLISHED
                self.hang_up("no_ack", now, by="network", status=408)
                return

    def _waited(self, wait: Wait, now: float) -> None:
        if wait is Wait.GLARE and self.wanted_flow is not None:
            self.reoffer(self.wanted_flow, now)
        elif wait is Wait.RING_LIMIT:
            self.on_ring_limit(now)
        elif wait is Wait.CANCELLED:  # no final answer to our CANCEL (RFC 3261 §9.1)
            self.end(by="us", status=487, reason=self.bye_reason, event=DialogEvent.GONE, now=now)
        elif wait is Wait.TRANSFER:
            self.transfer_settled(TransferOutcome.SUCCEEDED, 202, "accepted, outcome not reported", now)

    def give_up_dialling(self, reason: str, now: float) -> None:
        """CANCEL our INVITE; before any provisional response it has to wait for one (RFC 3261 §9.1)."""
        self.bye_reason = self.bye_reason or reason
        if self.client is not None and self.client.transaction.state == "proceeding":
            self.services.layer.cancel(self.client, now, lambda response, source, at: None)
            self.waits = {Wait.CANCELLED: now + 64 * T1_S}

    def transfer_settled(self, outcome: TransferOutcome, status: int, reason: str, now: float) -> None:
        """The last word on our REFER: on success the call is the peer's, and we leave it."""
        if self.transfer is None or self.transfer.settled:
            return
        self.transfer.settled = True
        self.waits.pop(Wait.TRANSFER, None)
        self.services.emit(TransferNews(call=self.key, outcome=outcome, status=status, reason=reason))
        if outcome is TransferOutcome.SUCCEEDED:
            self.hang_up("transferred", now)
        else:
            self.transfer = None
