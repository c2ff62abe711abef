"""The edge: one process and one thread that carries the media of all its legs.

Time is cut into sub-ticks of 20 ms / phases at absolute deadlines. In each, one phase of legs sends the packets of
the audio that its workers have answered, and another phase takes what its peers have sent and hands it to the
workers, half a tick before its own sending. Everything else is done in what is left of the sub-tick. After a stop
of the process, media time jumps: what was missed is dropped on both sides, nothing is played late.
"""

from __future__ import annotations

import gc
import random
import signal
import time
from typing import Any

from telephony.edge_bank import Bank, Leg
from telephony.edge_control import ControlServer
from telephony.edge_links import WorkerLink
from telephony.edge_messages import COMMANDS, media_from_json, seat_from_json
from telephony.edge_reports import Reporter, quality
from telephony.edge_stats import EdgeStats, raise_priority
from telephony.errors import LocalProtocolError, MediaError, RemoteProtocolError
from telephony.net.ports import PortPool
from telephony.plane import SeatAddress
from telephony.rtp.playout import PlayoutLimits

TICK_S = 0.02
_CATCH_UP_TICKS = 2
"""Ticks that may be done late; more are skipped."""
_FRONT_GRACE_S = 2.0
_FIRST_FRONT_S = 30.0
_LEGS_PER_PHASE = 64
"""Legs that a phase gets before the next one is used; when all are used, the emptiest gets the next leg."""
_HOUSE_TICKS = 12  # about every quarter of a second, one phase at a time


class Edge:
    """State of one edge process. ``step`` does one sub-tick; ``run`` does them in time."""

    def __init__(
        self, control_path: str, *, ports: PortPool, phases: int, limits: PlayoutLimits, name: str,
        first_packet_timeout_s: float, silence_timeout_s: float, rng: random.Random, now: float,
    ) -> None:  # fmt: skip
        self.stats = EdgeStats()
        self._ports = ports
        self._phases = phases
        self._name = name
        self._banks = [Bank(phase, limits, stats=self.stats, on_event=self._tell, rng=rng) for phase in range(phases)]
        self._links: list[WorkerLink] = []
        self._legs: dict[str, Leg] = {}
        self._reporter = Reporter(
            first_packet_timeout_s=first_packet_timeout_s,
            silence_timeout_s=silence_timeout_s,
            on_event=self._tell,
            rng=rng,
        )
        self._control = ControlServer(control_path, self._command, now)
        self._now = now
        self.stopping = False

    # --- time -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Sub-ticks at absolute deadlines until told to stop or left alone."""
        sub_s = TICK_S / self._phases
        start, count = time.monotonic() + TICK_S, 0
        while not self.stopping:
            deadline = start + count * sub_s
            wait = deadline - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            now = time.monotonic()
            late = now - deadline
            if late > _CATCH_UP_TICKS * TICK_S:
                # On to a deadline that is still to come: sub-ticks back to back would leave workers no time to answer.
                missed = int(late / TICK_S) + 1
                count += missed * self._phases
                self._skip(missed)
                continue
            self.stats.tick_late.add(late * 1000.0)
            began = time.thread_time()
            self.step(count, now, deadline)
            self.stats.work.add((time.thread_time() - began) * 1000.0)
            count += 1

    def step(self, count: int, now: float, deadline: float) -> None:
        """Sub-tick number ``count``."""
        self._now = now
        phases = self._phases
        self._read_workers()
        sender = self._banks[(count - phases // 2) % phases]
        if sender.count:
            sender.send()
            self.stats.send_late.add((time.monotonic() - deadline) * 1000.0)
        bank = self._banks[count % phases]
        if bank.count:
            bank.receive(now, time.time())
            pcm, flags = bank.select(now)
            sent_at = time.monotonic()
            for link, message in bank.messages(len(self._links), count // phases, sent_at, pcm, flags):
                self._links[link].send(message)
        self.stats.ticks += count % phases == 0
        self._do_rest(count, now)

    def _do_rest(self, count: int, now: float) -> None:
        for link in self._links:
            if link.legs and not link.up:
                link.poll_connect(now)
            if link.take_loss():
                self._tell_worker_lost(link)
        self._control.poll(now)
        self._ports.sweep(now)
        tick, phase = divmod(count, self._phases)
        if tick % _HOUSE_TICKS == phase % _HOUSE_TICKS:
            bank = self._banks[phase]
            bank.keep_house(now)
            self._reporter.poll(bank, now, time.time())
        self._mind_front(now)

    def _skip(self, ticks: int) -> None:
        self.stats.skipped_ticks += ticks
        for bank in self._banks:
            bank.skip(ticks)

    def _mind_front(self, now: float) -> None:
        alone = self._control.alone_since
        grace = _FRONT_GRACE_S if self._control.seen_front else _FIRST_FRONT_S
        if alone is not None and now - alone > grace:
            self.stopping = True

    def close(self) -> None:
        """End all legs (RTCP BYE) and free everything."""
        for leg_id in list(self._legs):
            self._close_leg(leg_id)
        for link in self._links:
            link.close()
        self._control.close()
        self._ports.close()

    # --- workers --------------------------------------------------------------------------------------------

    def _read_workers(self) -> None:
        for link in self._links:
            if not link.up:
                continue
            for batch in link.receive():
                phases, rows = link.phase_of[batch.rows], link.row_of[batch.rows]
                for phase, bank in enumerate(self._banks):
                    pick = (phases == phase).nonzero()[0]
                    if len(pick):
                        bank.queue.push(rows[pick], batch, pick)

    def _link_to(self, address: str) -> int:
        for at, link in enumerate(self._links):
            if link.address == address:
                return at
        for at, link in enumerate(self._links):
            if not link.legs:  # reuse the place of a worker that nobody needs any more
                link.close()
                self._links[at] = WorkerLink(address, edge=self._name, phases=self._phases)
                return at
        self._links.append(WorkerLink(address, edge=self._name, phases=self._phases))
        return len(self._links) - 1

    def _tell_worker_lost(self, link: WorkerLink) -> None:
        at = self._links.index(link)
        legs = [leg.leg_id for leg in self._legs.values() if leg.link == at]
        self._control.tell({"event": "worker_lost", "worker": link.address, "legs": legs})

    # --- commands -------------------------------------------------------------------------------------------

    def _tell(self, leg: Leg, event: str, more: dict[str, object]) -> None:
        self._control.tell({"event": event, "leg": leg.leg_id, **more})

    def _command(self, command: str, body: dict[str, Any]) -> dict[str, Any]:
        leg_id = body.get("leg", "")
        if command not in COMMANDS:
            raise RemoteProtocolError(f"no command {command!r}", rule="edge-command")
        if command == "stats":
            return {"stats": self._stats()}
        if command == "reserve":
            return {"port": self._reserve(leg_id, body.get("port"))}
        if command == "close":
            return {"quality": self._close_leg(leg_id)}
        leg = self._legs.get(leg_id)
        if leg is None:
            raise MediaError(f"no leg {leg_id!r}")
        if command == "open":
            self._open(leg, body)
        else:
            self._change(leg, command, body)
        return {}

    def _reserve(self, leg_id: str, port: Any) -> int:
        if not leg_id or leg_id in self._legs:
            raise MediaError(f"leg {leg_id!r} is taken")
        if port is not None and (not isinstance(port, int) or isinstance(port, bool)):
            raise RemoteProtocolError("port must be a whole number", rule="edge-field-number")
        pair = self._ports.take(port)
        self._legs[leg_id] = Leg(leg_id=leg_id, ports=pair)
        return pair.port

    def _open(self, leg: Leg, body: dict[str, Any]) -> None:
        media, seat = media_from_json(body.get("media")), body.get("seat")
        address = None if seat is None else seat_from_json(seat)
        if leg.bank is not None:
            raise MediaError(f"leg {leg.leg_id!r} is open")
        bank = self._bank_for_new()
        bank.open(leg, media, self._now)
        self._reporter.start(leg, self._now)
        self._route(leg, address)
        self._tell(leg, "opened", {"port": leg.ports.port})

    def _bank_for_new(self) -> Bank:
        """Few phases while there are few legs: a tick of a phase costs about 0.3 ms however many legs it has."""
        half = self._phases // 2
        order = [self._banks[(at % 2) * half + at // 2] for at in range(self._phases)]
        used = next((n for n in range(1, self._phases) if order[n - 1].count < _LEGS_PER_PHASE), self._phases)
        return min(order[:used], key=lambda bank: bank.count)

    def _change(self, leg: Leg, command: str, body: dict[str, Any]) -> None:
        bank = leg.bank
        if bank is None:
            raise MediaError(f"leg {leg.leg_id!r} is not open")
        if command == "update":
            bank.set_media(leg, media_from_json(body.get("media")), self._now)
        elif command == "route":
            seat = body.get("seat")
            self._route(leg, None if seat is None else seat_from_json(seat))
        else:
            self._send_keys(leg, bank, body.get("digits"))

    def _send_keys(self, leg: Leg, bank: Bank, digits: Any) -> None:
        if not isinstance(digits, str):
            raise RemoteProtocolError("digits must be a text", rule="edge-field-text")
        if leg.media is None or leg.media.dtmf_payload_type is None:
            raise MediaError("the peer takes no keys (no telephone-event)")
        try:
            bank.push_keys(leg, digits)
        except LocalProtocolError as error:
            raise MediaError(str(error)) from None

    def _route(self, leg: Leg, seat: SeatAddress | None) -> None:
        bank = leg.bank
        assert bank is not None
        self._unroute(leg)
        if seat is None:
            bank.route(leg, -1, 0, -1)
            return
        at = self._link_to(seat.worker)
        link = self._links[at]
        link.phase_of[seat.row], link.row_of[seat.row] = bank.phase, leg.row
        link.legs += 1
        leg.link, leg.worker_row = at, seat.row
        bank.route(leg, at, seat.row, seat.seat)
        link.poll_connect(self._now)

    def _unroute(self, leg: Leg) -> None:
        if leg.link < 0 or leg.bank is None:
            return
        link = self._links[leg.link]
        link.legs -= 1
        # The row may belong to another leg by now: only an own entry is cleared.
        if link.phase_of[leg.worker_row] == leg.bank.phase and link.row_of[leg.worker_row] == leg.row:
            link.phase_of[leg.worker_row] = -1
        leg.link = leg.worker_row = -1

    def _close_leg(self, leg_id: str) -> dict[str, Any] | None:
        leg = self._legs.pop(leg_id, None)
        if leg is None:
            return None
        last = None
        if leg.bank is not None:
            last = self._reporter.stop(leg, time.time())
            self._unroute(leg)
            leg.bank.close(leg)
        self._ports.release(leg.ports, self._now)
        return last

    def _stats(self) -> dict[str, Any]:
        self.stats.control_errors = self._control.errors
        totals: dict[str, float] = {}
        delays = []
        for leg in self._legs.values():
            if leg.bank is None:
                continue
            counters = quality(leg)
            delays.append(counters["delay_ms"])
            for name in ("sent", "received", "lost", "late", "duplicate", "concealed", "foreign"):
                totals[name] = totals.get(name, 0) + counters[name]
        return self.stats.to_json(
            legs=len(delays),
            reserved=len(self._legs) - len(delays),
            resting_ports=self._ports.resting,
            playout_delay_ms=round(sum(delays) / len(delays), 1) if delays else 0.0,
            playout_delay_max_ms=max(delays, default=0.0),
            skipped_frames=int(sum(bank.playout.skipped.sum() for bank in self._banks)),
            underruns=int(sum(bank.queue.underruns.sum() for bank in self._banks)),
            dropped_frames=int(sum(bank.queue.dropped.sum() for bank in self._banks)),
            workers={link.address: {"up": link.up, "legs": link.legs, "dropped": link.dropped} for link in self._links},
            totals=totals,
        )


def run_edge(
    control_path: str,
    *,
    port_min: int = 20000,
    port_max: int = 29998,
    phases: int = 4,
    playout_min_ms: float = 20.0,
    playout_start_ms: float = 40.0,
    playout_max_ms: float = 100.0,
    first_packet_timeout_s: float = 30.0,
    silence_timeout_s: float = 15.0,
    port_rest_s: float = 5.0,
    host: str = "0.0.0.0",
    name: str = "edge",
    realtime: bool = True,
) -> None:
    """Be an edge until SIGTERM, or until no front is connected for 2 s. Blocks; owns the process.

    ``phases`` must be even and divide 20 ms sensibly (2, 4, 8 …). ``realtime`` asks for SCHED_FIFO, then nice.
    """
    if phases < 2 or phases % 2:
        raise ValueError("phases must be even")
    rng = random.SystemRandom()
    edge = Edge(
        control_path,
        ports=PortPool(host, port_min, port_max, rest_s=port_rest_s, rng=rng),
        phases=phases,
        limits=PlayoutLimits(min_ms=playout_min_ms, start_ms=playout_start_ms, max_ms=playout_max_ms),
        name=name,
        first_packet_timeout_s=first_packet_timeout_s,
        silence_timeout_s=silence_timeout_s,
        rng=rng,
        now=time.monotonic(),
    )

    def stop(number: int, frame: object) -> None:
        edge.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's ^C is for the supervisor, which drains first
    if realtime:
        edge.stats.scheduling = raise_priority()
    # A full collection over a grown heap stops every call at once; nothing here makes cycles that matter.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        edge.run()
    finally:
        edge.close()
