"""The SIP door: ``telephony.sip`` on a UDP socket, legs out, media commands to an edge.

The core decides everything about signalling; this shell owns the socket, one timer handle for the core's earliest
deadline, and a task group for what must wait (offer handlers, commands to the edge).
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

from telephony.clock import Clock
from telephony.errors import MediaError, RemoteProtocolError
from telephony.events import (
    Direction,
    DtmfReceived,
    LegAnswered,
    LegEnded,
    LegEvent,
    LegHeld,
    LegInfo,
    LegResumed,
    LegRinging,
    TransferNotified,
)
from telephony.media import LegMedia
from telephony.net.advertised import Advertised
from telephony.net.udp import Address, UdpSocket, resolve
from telephony.plane import OfferHandler, SeatAddress
from telephony.sip.actions import (
    ByeAnswered,
    CallEvent,
    Dropped,
    Ended,
    Established,
    InfoDigit,
    MediaChanged,
    Offered,
    Output,
    Progressed,
    Refused,
    TransferNews,
    Transmit,
)
from telephony.sip.endpoint import SipEndpoint
from telephony.sip.headers.uri import Uri
from telephony.sip.settings import SipSettings
from telephony.sip_leg import SipLeg
from telephony.sip_media import Edge, SipMedia

EDGE_GRACE_S = 10.0
"""How long legs wait in silence for a lost edge before they end."""
STOP_S = 2.0
"""How long ``stop`` waits for the answers to its BYEs."""
CALL_ID_HEADER = "X-Crosstalk-Call-Id"
"""In our 200 OK: the name that this call has in store, events and logs."""
SAMPLE_S = 10.0
"""At most one line per rule and this long about what is dropped, and about what is refused."""


_CSEQ_METHOD = re.compile(rb"\r\nCSeq:[ \t]*\d+[ \t]+([A-Z]+)")


class Watch(Protocol):
    """Told of each request that comes (``status`` is ``None``) and of each response that goes, for metrics."""

    def __call__(self, method: str, status: int | None, /) -> None: ...


class Log(Protocol):
    """Where log events go: a name of the fixed list, and fields."""

    def __call__(self, event: str, **fields: object) -> None: ...


class SipPlane:
    """Implements ``telephony.plane.MediaPlane``. All methods belong to one event loop."""

    def __init__(
        self,
        *,
        edge: Edge,
        clock: Clock,
        token: Callable[[], str],
        random: Callable[[], float],
        log: Log,
        host: str = "127.0.0.1",
        port: int = 0,
        advertised_address: str = "",
        transfer_targets: tuple[str, ...] = ("sip:",),
        settings: SipSettings | None = None,
        watch: Watch = lambda method, status: None,
    ) -> None:
        self._edge, self._clock, self._token, self._log = edge, clock, token, log
        self._host, self._port = host, port
        self._advertised = Advertised(configured=advertised_address, listening=host)
        self._media = SipMedia(edge, lambda leg, reason, error: self._end_leg(leg, "edge", reason, error))
        self._transfer_targets = transfer_targets
        self._settings = settings or SipSettings()
        self._watch = watch
        self._sip = SipEndpoint(self._settings, local=self._local, token=token, random=random)
        self._socket: UdpSocket | None = None
        self._on_offer: OfferHandler | None = None
        self._legs: dict[str, SipLeg] = {}
        self._by_id: dict[str, SipLeg] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._owner: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._quiet = asyncio.Event()
        """Draining, and no leg and no unanswered BYE is left."""
        self._unanswered_byes: set[str] = set()
        self._logged_until: dict[tuple[str, str], float] = {}
        self.dropped: Counter[str] = Counter()
        """Datagrams dropped in silence, by rule."""
        self.bugs = 0
        """Errors of our own that a datagram or a timer met: each is logged, none is expected."""
        self.refused: Counter[str] = Counter()
        """Requests refused by the core, by rule."""

    @property
    def name(self) -> str:
        return "sip"

    @property
    def local_port(self) -> int:
        """The bound port; raises ``TransportClosed`` before ``start``."""
        if self._socket is None:
            return self._port
        return self._socket.port

    # -- MediaPlane

    async def start(self, on_offer: OfferHandler) -> None:
        """Bind the socket; raises ``OSError`` when the port is taken."""
        self._on_offer = on_offer
        self._edge.on_event = self._edge_event
        self._socket = await UdpSocket.bind(self._host, self._port, self._datagram)
        group_is_open = asyncio.Event()
        # The one bare task: it owns the group of all others, from start to stop, and stop awaits it.
        self._owner = asyncio.create_task(self._own_tasks(group_is_open))
        await group_is_open.wait()
        if (why := self.doubtful_address()) is not None:
            self._log("sip.address_doubtful", why=why)

    async def _own_tasks(self, group_is_open: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            group_is_open.set()
            await self._stopping.wait()
            for task in self._tasks:
                task.cancel()

    async def dial(
        self, target: str, *, seat: SeatAddress, caller: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> SipLeg:
        """Place a call. Raises ``TelephonyError`` for a bad target, an unknown host or an edge without ports."""
        uri = Uri.parse(target, where="target")
        if not uri.is_sip:
            raise RemoteProtocolError("target: not a SIP URI", rule="bad-target")
        destination = (await resolve(uri.host), uri.port or 5060)
        leg_id = self._token()
        port = await self._media.reserve(leg_id)
        rtp = (self._advertised.towards(destination[0]), port)
        try:
            key = self._sip.dial(target, destination, rtp=rtp, now=self._clock.now(), caller=caller, headers=headers)
        except RemoteProtocolError:
            await self._media.release(leg_id)
            raise
        info = LegInfo(
            leg_id=leg_id,
            transport="sip",
            direction=Direction.OUTBOUND,
            from_uri=caller,
            to_uri=target,
            source=_text(destination),
        )
        leg = self._adopt(info, key)
        leg.seat, leg.port = seat, port
        self._flush()
        return leg

    def drain(self) -> None:
        self._sip.is_draining = True

    async def stop(self) -> None:
        """BYE to every leg, wait a little for the answers, close the socket."""
        self.drain()
        for leg in list(self._legs.values()):
            self._sip.hang_up(leg.key, "shutdown", self._clock.now())
        self._flush()
        self._note_quiet()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._quiet.wait()
        self._stopping.set()
        if self._owner is not None:
            await self._owner
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            await self._socket.aclose()

    # -- the address that peers are told

    def _local(self, peer_ip: str) -> Address:
        return (self._advertised.towards(peer_ip), self.local_port)

    def doubtful_address(self) -> str | None:
        """Why a public peer could not reach what Contact and SDP say; ``None`` when all is well."""
        return self._advertised.doubt(self._settings.allow)

    # -- driving the core

    def _datagram(self, data: bytes, source: Address) -> None:
        method, space, _ = data[:32].partition(b" ")
        if space and method.isalpha():  # a response begins with "SIP/2.0"
            self._watch(method.decode("ascii", "replace"), None)
        self._guarded(lambda: self._sip.receive(data, source, self._clock.now()))

    def _timer_fired(self) -> None:
        self._timer = None
        self._guarded(lambda: self._sip.handle_timer(self._clock.now()))

    def _guarded(self, act: Callable[[], None]) -> None:
        """The boundary of the core: a bug that one datagram or timer meets must not close the socket to all others."""
        try:
            act()
        except Exception as error:
            self.bugs += 1
            self._log("call.failed", error=repr(error))
        self._flush()

    def _flush(self) -> None:
        while outputs := self._sip.poll():
            for output in outputs:
                self._carry_out(output)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._sip.next_deadline()
        if deadline is not None and not self._stopping.is_set():
            delay_s = max(0.0, deadline - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._timer_fired)

    def _carry_out(self, output: Output) -> None:
        if isinstance(output, Transmit):
            if self._socket is not None:
                self._socket.send(output.data, output.destination)
                self._note_response(output.data)
        elif isinstance(output, Dropped):
            self._count(self.dropped, "sip.dropped", output)
        elif isinstance(output, Refused):
            self._count(self.refused, "sip.refused", output, method=output.method, status=output.status)
        elif isinstance(output, Offered):
            self._offered(output)
        else:
            self._call_event(output)

    def _note_response(self, data: bytes) -> None:
        if data.startswith(b"SIP/2.0 ") and (named := _CSEQ_METHOD.search(data)) is not None:
            self._watch(named[1].decode(), int(data[8:11]))

    def _count(self, counter: Counter[str], event: str, output: Dropped | Refused, **fields: object) -> None:
        """Count each, log a sample: a flood must not become a flood of lines."""
        counter[output.rule] += 1
        now = self._clock.now()
        if output.rule != "keepalive" and now >= self._logged_until.get((event, output.rule), now):
            self._logged_until[event, output.rule] = now + SAMPLE_S
            self._log(event, source=_text(output.source), rule=output.rule, total=counter[output.rule], **fields)

    # -- facts of calls

    def _adopt(self, info: LegInfo, key: str) -> SipLeg:
        leg = SipLeg(info, key, self)
        self._legs[key] = leg
        self._by_id[info.leg_id] = leg
        return leg

    def _offered(self, event: Offered) -> None:
        info = LegInfo(
            leg_id=self._token(),
            transport="sip",
            direction=Direction.INBOUND,
            from_uri=event.from_uri,
            to_uri=event.to_uri,
            source=_text(event.source),
            signalling_id=event.call_id,
            headers=event.headers,
        )
        leg = self._adopt(info, event.call)
        if (why := self._advertised.doubt_about(event.source[0])) is not None:
            self._log("sip.address_doubtful", why=why, source=info.source)
        self._spawn(self._run_offer(leg))

    async def _run_offer(self, leg: SipLeg) -> None:
        assert self._on_offer is not None
        try:
            await self._on_offer(leg)
        except Exception as error:  # task boundary: one call's failure must not end the door
            self._log("call.failed", leg_id=leg.info.leg_id, error=repr(error))
            await leg.refuse(500, "")
            await leg.hangup("internal_error")

    def _call_event(self, event: CallEvent) -> None:
        if isinstance(event, ByeAnswered):
            self._unanswered_byes.discard(event.call)
            self._note_quiet()
            return
        leg = self._legs.get(event.call)
        if leg is None:
            return
        leg_id = leg.info.leg_id
        match event:
            case Progressed(status=status, media=media):
                self._tell(leg, LegRinging(leg_id=leg_id, status=status))
                if media is not None:
                    self._spawn(self._set_media(leg, media))
            case Established(media=media):
                self._spawn(self._set_media(leg, media, LegAnswered(leg_id=leg_id)))
            case MediaChanged(media=media, held=held):
                self._media_changed(leg, media, held=held)
            case InfoDigit(digit=digit, duration_ms=duration_ms):
                if not leg.got_rfc4733:  # some phones send both: the first kind seen counts
                    self._tell(leg, DtmfReceived(leg_id=leg_id, digit=digit, duration_ms=duration_ms))
            case TransferNews(outcome=outcome, status=status, reason=reason):
                self._tell(leg, TransferNotified(leg_id=leg_id, outcome=outcome, status=status, reason=reason))
            case Ended():
                self._ended(leg, event)
            case _:
                pass

    def _tell(self, leg: SipLeg, event: LegEvent) -> None:
        if not leg.tell(event):
            leg.forced_end = ("us", "events_overrun")
            self._sip.hang_up(leg.key, "events_overrun", self._clock.now())

    def _media_changed(self, leg: SipLeg, media: LegMedia, *, held: bool) -> None:
        leg_id = leg.info.leg_id
        news: LegEvent | None = None
        if held != leg.is_held:
            leg.is_held = held
            news = LegHeld(leg_id=leg_id) if held else LegResumed(leg_id=leg_id)
        self._spawn(self._set_media(leg, media, news))

    def _ended(self, leg: SipLeg, event: Ended) -> None:
        del self._legs[leg.key]
        by, reason = leg.forced_end or (event.by, event.reason)
        if reason == "session_expired":
            reason = "refresh_expired"
        if event.status == 200 and event.by == "us":
            self._unanswered_byes.add(event.call)
        ended = LegEnded(leg_id=leg.info.leg_id, by=by, status=event.status, reason=reason)
        self._spawn(self._close_leg(leg, ended))

    # -- the edge

    def _edge_event(self, event: LegEvent) -> None:
        leg = self._by_id.get(event.leg_id)
        if leg is None:
            return
        if isinstance(event, DtmfReceived):
            leg.got_rfc4733 = True
        self._tell(leg, event)
        self._flush()

    async def _set_media(self, leg: SipLeg, media: LegMedia, news: LegEvent | None = None) -> None:
        """Tell the edge what was agreed, then the session what it means."""
        if await self._media.agree(leg, media) and news is not None:
            self._tell(leg, news)

    def _end_leg(self, leg: SipLeg, by: str, reason: str, error: str) -> None:
        self._log("call.failed", leg_id=leg.info.leg_id, error=error)
        leg.forced_end = (by, reason)
        self._sip.hang_up(leg.key, reason, self._clock.now())
        self._flush()

    async def _close_leg(self, leg: SipLeg, ended: LegEnded) -> None:
        try:
            quality = await self._media.close(leg)
            if quality is not None:
                leg.tell(quality)
        finally:
            self._by_id.pop(leg.info.leg_id, None)
            leg.tell(ended)
            self._note_quiet()

    def _note_quiet(self) -> None:
        if self._sip.is_draining and not self._by_id and not self._unanswered_byes:
            self._quiet.set()

    def edge_lost(self) -> None:
        """The edge is gone. Legs wait ``EDGE_GRACE_S`` for ``edge_restored``, then they end (``edge_lost``)."""
        if not self._media.edge_is_lost:
            self._media.edge_is_lost = True
            self._spawn(self._await_edge())

    async def _await_edge(self) -> None:
        await asyncio.sleep(EDGE_GRACE_S)
        if self._media.edge_is_lost:
            for leg in list(self._legs.values()):
                self._end_leg(leg, "edge", "edge_lost", "the edge did not come back")

    async def edge_restored(self) -> None:
        """A new edge is connected: open every live leg again on its old port; where that fails, the leg ends."""
        self._media.edge_is_lost = False
        for leg in list(self._legs.values()):
            await self._media.restore(leg)

    # -- commands of legs

    async def ring(self, leg: SipLeg) -> None:
        self._sip.ring(leg.key, self._clock.now())
        self._flush()

    async def answer(self, leg: SipLeg, seat: SeatAddress) -> None:
        """Reserve, negotiate, open, 200. Raises ``MediaError`` when the edge cannot or the caller has gone."""
        leg_id = leg.info.leg_id
        async with leg.lane:
            leg.seat = seat
            leg.port = await self._media.reserve(leg_id)
            peer_ip = leg.info.source.rpartition(":")[0].strip("[]")
            media = self._sip.prepare(leg.key, (self._advertised.towards(peer_ip), leg.port))
            if media is None:
                await self._media.release(leg_id)
                raise MediaError("the caller has gone")
            await self._media.open(leg, media)
        if not self._sip.accept(leg.key, self._clock.now(), headers=((CALL_ID_HEADER, leg_id),)):
            await self._media.release(leg_id)
            raise MediaError("the caller has gone")
        self._flush()

    async def refuse(self, leg: SipLeg, status: int, reason: str, retry_after_s: int | None) -> None:
        self._sip.refuse(leg.key, status, _one_line(reason), self._clock.now(), retry_after_s=retry_after_s)
        self._flush()

    async def reroute(self, leg: SipLeg, seat: SeatAddress) -> None:
        await self._media.route(leg, seat)

    async def hangup(self, leg: SipLeg, reason: str) -> None:
        self._sip.hang_up(leg.key, reason, self._clock.now())
        self._flush()

    async def transfer(self, leg: SipLeg, target: str) -> None:
        """REFER; raises ``TelephonyError`` for a target that is not allowed or a leg that is not established."""
        if not target.startswith(self._transfer_targets):
            raise MediaError("transfer target is not allowed")
        self._sip.transfer(leg.key, target, self._clock.now())
        self._flush()

    async def send_dtmf(self, leg: SipLeg, digits: str) -> None:
        """RFC 4733 where it was negotiated, INFO otherwise."""
        if leg.media is None or leg.is_over:
            return
        if leg.media.dtmf_payload_type is not None:
            await self._media.send_dtmf(leg, digits)
            return
        for digit in digits:
            self._sip.send_info_digit(leg.key, digit, 100, self._clock.now())
        self._flush()

    # -- tasks

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._group is None or self._stopping.is_set():
            work.close()
            return
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _one_line(text: str) -> str:
    """A reason phrase that cannot leave its line, whoever wrote it."""
    return "".join(char for char in text if char.isprintable())[:100]
