"""One SIP transaction: a table, what was last sent and its timers (RFC 3261 §17). Pure: ``now`` in, effects out."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.sip.headers.via import Via
from telephony.sip.message import Request, Response
from telephony.sip.transaction_tables import OWNS, START, T2_S, TABLES, TIMERS, Do, Event, Kind, State

Address = tuple[str, int]
"""IP literal and port."""
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """What the owner of the transaction must do now."""

    do: Do
    data: bytes = b""
    """For ``SEND`` and ``RESEND``."""


def server_key(request: Request) -> Key:
    """What a request matches by: branch, sent-by, method; by RFC 2543 rules without the cookie (§17.2.3)."""
    via = request.vias[0]
    method = "INVITE" if request.method == "ACK" else request.method
    if via.has_cookie:
        return (via.branch.lower(), via.sent_by, method)
    sender = request.from_
    return ("rfc2543", request.uri, sender.tag, request.call_id, str(request.cseq.number), str(_plain(via)), method)


def _plain(via: Via) -> Via:
    """Without what we stamped ourselves."""
    return Via(
        transport=via.transport,
        host=via.host,
        port=via.port,
        params=tuple((name, value) for name, value in via.params if name.lower() not in {"received", "rport"}),
    )


def client_key(branch: str, method: str) -> Key:
    """What a response matches by (§17.1.3)."""
    return (branch.lower(), method)


def response_key(response: Response) -> Key:
    return client_key(response.vias[0].branch, response.cseq.method)


class Transaction:
    """One of the four machines. ``feed`` and ``handle_timer`` return the effects in order."""

    def __init__(
        self, kind: Kind, key: Key, *, peer: Address, now: float, first: bytes = b"", reliable: bool = False
    ) -> None:
        self.kind, self.key, self.peer = kind, key, peer
        self.state, timers = START[kind]
        self._reliable = reliable
        self._last = first
        """What a repetition sends: the request of a client, the last response of a server."""
        self._timers: dict[Event, tuple[float, float]] = {}
        for timer in timers:
            self._start(timer, now)

    @property
    def is_over(self) -> bool:
        return self.state is State.TERMINATED

    def next_deadline(self) -> float | None:
        return min((deadline for deadline, _ in self._timers.values()), default=None)

    def feed(self, event: Event, now: float, *, data: bytes = b"") -> tuple[Effect, ...]:
        """One input; an unknown one for this state changes nothing."""
        row = TABLES[self.kind].get((self.state, event))
        if row is None:
            return ()
        if Do.SEND in row.do:
            self._last = data
        self.state = row.next
        owned = OWNS[self.kind].get(self.state, frozenset())
        self._timers = {timer: value for timer, value in self._timers.items() if timer in owned}
        for timer in row.start:
            if timer in owned:
                self._start(timer, now)
        return tuple(Effect(do, self._last if do in {Do.SEND, Do.RESEND} else b"") for do in row.do if self._has(do))

    def _has(self, do: Do) -> bool:
        return do is not Do.RESEND or bool(self._last)

    def handle_timer(self, now: float) -> tuple[Effect, ...]:
        """All timers due at ``now``, earliest first."""
        effects: tuple[Effect, ...] = ()
        while due := [(deadline, timer) for timer, (deadline, _) in self._timers.items() if deadline <= now]:
            _, timer = min(due)
            interval = self._timers.pop(timer)[1]
            effects += self.feed(timer, now)
            if timer in self._timers:  # it repeats: double up to its cap (RFC 3261 §17.1.1.2)
                interval = min(2 * interval, TIMERS[timer].cap_s or T2_S)
                self._timers[timer] = (now + interval, interval)
        return effects

    def _start(self, timer: Event, now: float) -> None:
        spec = TIMERS[timer]
        duration = spec.reliable_s if self._reliable else spec.udp_s
        if duration is not None:
            self._timers[timer] = (now + duration, duration)


def status_event(status: int) -> Event:
    """The input that a received response is."""
    if status < 200:
        return Event.RX_1XX
    return Event.RX_2XX if status < 300 else Event.RX_FINAL


def answer_event(status: int) -> Event:
    """The input that a response of ours is."""
    if status < 200:
        return Event.TU_1XX
    return Event.TU_2XX if status < 300 else Event.TU_FINAL
