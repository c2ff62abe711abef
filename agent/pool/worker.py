"""The worker process: one thread that waits on sockets, steps the scheduler and answers in the same pass.

Edges connect to the audio address, fronts to the control address. A phase is stepped when its audio comes; when it
does not come in time, by the worker's own clock.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from agent.model.baseline import fallback_of
from agent.model.protocol import DuplexModel, HasHelpers, HasSpeaker, HelperStats
from agent.pool.connection import SOCKET_BYTES, ConnectionOver, Outgoing, address_of, listen, read
from agent.pool.cpu_wait import CpuWait, load_of
from agent.pool.measure import measure_speaker, measure_steps
from agent.pool.messages import (
    Drain,
    Message,
    MessageReader,
    OpenSeat,
    SeatClosed,
    SeatMessage,
    SeatOpened,
    SeatRefused,
    WorkerHello,
    WorkerStats,
    encode,
)
from agent.pool.recorder import RecorderLink
from agent.scheduler.admission import Admission, StepCosts, percentile
from agent.scheduler.tick import Scheduler
from telephony.errors import RemoteProtocolError
from telephony.link import PROTOCOL, FrameReader, FrameType, InBatch, decode_in, encode_out, pack

TICK_S: Final = 0.020
LATE_S: Final = 0.060
"""A phase whose audio is that much overdue is stepped on concealed audio; less is jitter, and real audio is better."""
MAX_BEHIND: Final = 5
"""Batches of one phase that may wait to be stepped (100 ms); older ones are dropped, never caught up with."""
MAX_AUDIO_OUT: Final = 50
"""Messages to an edge that does not read."""
MAX_CONTROL_OUT: Final = 8 * 1024 * 1024
"""Bytes to a front that does not read."""
STATS_S: Final = 1.0
RECORDED_WITHIN_S: Final = 0.8
"""The end of a recorded call is told when its file is there, or after that time."""
RECORDED_LOOK_S: Final = 0.005
SPEAKER_LOOK_S: Final = 0.002
"""How often a device is asked whether its step is done, while one is under way."""


@dataclass(eq=False)
class Peer:
    """One connection."""

    sock: socket.socket
    out: Outgoing
    number: int = 0


@dataclass(eq=False)
class EdgePeer(Peer):
    reader: FrameReader = field(default_factory=FrameReader)
    greeted: bool = False
    due: dict[int, float] = field(default_factory=dict)
    """Phase to the time at which its next audio is overdue."""


@dataclass(eq=False)
class FrontPeer(Peer):
    reader: MessageReader = field(default_factory=MessageReader)


class Worker:
    """The loop. ``run`` until ``stop``; a test may call ``pass_once`` instead."""

    def __init__(
        self,
        *,
        name: str,
        control_path: str,
        audio_path: str,
        model: DuplexModel,
        rows: int,
        step_budget: float,
        costs: StepCosts,
        phases: int,
        speaker_costs: StepCosts | None = None,
    ) -> None:
        """``costs``: of the model's step, or of the ears' where a speaker stands beside them."""
        step_ms = model.spec.step_ms
        fitting = costs.rows_within(step_budget * step_ms, phases=phases, limit=rows)
        self._speaker_s = model.speaker.spec.step_ms / 1000 if isinstance(model, HasSpeaker) else 0.0
        if speaker_costs is not None:
            together = speaker_costs.rows_within(step_budget * 1000 * self._speaker_s, phases=1, limit=rows)
            fitting = min(fitting, together)
        self.admission = Admission(offered=max(1, fitting), step_ms=step_ms, budget=step_budget)
        self.scheduler = Scheduler(model, rows=model.spec.rows, admission=self.admission)
        self._step_s = step_ms / 1000
        self._selector = selectors.DefaultSelector()
        self._control = listen(control_path)
        try:
            self._audio = listen(audio_path)
        except OSError:
            self._control.close()
            raise
        self._hello = WorkerHello(
            worker=name,
            pid=os.getpid(),
            model=model.spec.name,
            audio=address_of(self._audio, audio_path),
            rows=self.admission.offered,
            step_ms=step_ms,
            step_p99_ms={str(size): round(ms, 3) for size, ms in costs.p99_ms.items()},
            step_worst_ms={str(size): round(ms, 3) for size, ms in costs.worst_ms.items()},
            fallback=fallback_of(model),
            speaker_p99_ms={str(size): round(ms, 3) for size, ms in speaker_costs.p99_ms.items()}
            if speaker_costs is not None
            else {},
        )
        self.control_address = address_of(self._control, control_path)
        self._edges: list[EdgePeer] = []
        self._fronts: list[FrontPeer] = []
        self._owners: dict[str, FrontPeer] = {}
        self._recorder = RecorderLink()
        self._recordings: dict[str, int] = {}
        """Call to its recording."""
        self._recorded_rows: dict[int, int] = {}
        """Row to its recording."""
        self._unfinished: dict[int, tuple[FrontPeer | None, SeatClosed, float]] = {}
        """Recording to the end of its call, who is told, and when at the latest."""
        self._wanted: dict[str, str] = {}
        """Call that is being seated to the path of its recording."""
        self._next_link = 1
        self._durations: list[float] = []
        """Wall time of each batch since the last statistics."""
        self._busy: list[float] = []
        """What of it counts as load, summed over the batches that began in one step's time."""
        self._busy_period = 0
        self._cpu_wait = CpuWait()
        self._overruns = 0
        self._stats_at = time.monotonic() + STATS_S
        self._stopping = False
        self._selector.register(self._control, selectors.EVENT_READ, self._accept_front)
        self._selector.register(self._audio, selectors.EVENT_READ, self._accept_edge)

    @property
    def hello(self) -> WorkerHello:
        return self._hello

    def stop(self) -> None:
        """End the loop at its next pass (safe in a signal handler)."""
        self._stopping = True

    def run(self) -> None:
        """Serve until ``stop``."""
        while not self._stopping:
            self.pass_once()

    def pass_once(self, *, max_wait_s: float = 0.5) -> None:
        """Wait for whatever comes first, serve it, answer."""
        now = time.monotonic()
        deadlines = [due for edge in self._edges for due in edge.due.values()]
        until = min(self._stats_at, min(deadlines, default=self._stats_at))
        if self._recorder.awaits:
            max_wait_s = min(max_wait_s, RECORDED_LOOK_S)
        if self.scheduler.is_speaking:
            max_wait_s = min(max_wait_s, SPEAKER_LOOK_S)
        for key, mask in self._selector.select(min(max(0.0, until - now), max_wait_s)):
            if key.fileobj in (self._control, self._audio):
                key.data()
            else:
                self._serve(key.data, mask)
        now = time.monotonic()
        self._conceal_overdue(now)
        self.scheduler.advance(now)
        self.scheduler.settle()
        self._tell_events()
        self._tell_recorded(now)
        if now >= self._stats_at:
            self._tell_stats(now)

    def close(self) -> None:
        """Say goodbye, close sockets and helpers."""
        for edge in list(self._edges):
            with contextlib.suppress(ConnectionOver):
                edge.out.send(pack(FrameType.BYE, b""))
            self._drop(edge)
        for front in list(self._fronts):
            self._drop(front)
        for listener in (self._control, self._audio):
            self._selector.unregister(listener)
            listener.close()
        self._selector.close()
        self._cpu_wait.close()
        self._recorder.stop()
        self.scheduler.model.close()

    # --- connections ---------------------------------------------------------------------------------------

    def _accept_front(self) -> None:
        if (sock := _accept(self._control)) is None:
            return
        front = FrontPeer(sock, Outgoing(sock, drop_oldest=False, limit=MAX_CONTROL_OUT))
        self._fronts.append(front)
        self._selector.register(sock, selectors.EVENT_READ, front)
        self._send(front, self._hello)

    def _accept_edge(self) -> None:
        if (sock := _accept(self._audio)) is None:
            return
        edge = EdgePeer(sock, Outgoing(sock, drop_oldest=True, limit=MAX_AUDIO_OUT), self._next_link)
        self._next_link += 1
        self._edges.append(edge)
        self._selector.register(sock, selectors.EVENT_READ, edge)

    def _serve(self, peer: Peer, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                peer.out.flush()
            if mask & selectors.EVENT_READ:
                data = read(peer.sock)
                if isinstance(peer, EdgePeer):
                    self._from_edge(peer, data)
                elif isinstance(peer, FrontPeer):
                    self._from_front(peer, data)
            self._watch(peer)
        except (ConnectionOver, RemoteProtocolError):
            self._drop(peer)

    def _watch(self, peer: Peer) -> None:
        """Ask for writability only while something waits."""
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.out.waits else 0)
        key = self._selector.get_map().get(peer.sock)
        if key is not None and key.events != wanted:
            self._selector.modify(peer.sock, wanted, peer)

    def _drop(self, peer: Peer) -> None:
        """A peer is gone. A front's seats go with it; an edge's rows wait for another edge."""
        if isinstance(peer, EdgePeer):
            if peer not in self._edges:
                return
            self._edges.remove(peer)
            self.scheduler.forget_link(peer.number)
        elif isinstance(peer, FrontPeer):
            if peer not in self._fronts:
                return
            self._fronts.remove(peer)
            for call_id in [c for c, owner in self._owners.items() if owner is peer]:
                seat = self.scheduler.table.find(call_id)
                if seat is not None:
                    self.scheduler.close(seat, "closed")
        self._selector.unregister(peer.sock)
        peer.sock.close()

    # --- audio ---------------------------------------------------------------------------------------------

    def _from_edge(self, edge: EdgePeer, data: bytes) -> None:
        batches: list[InBatch] = []
        for kind, body in edge.reader.feed(data):
            if kind is FrameType.HELLO:
                self._greet(edge, body)
            elif kind is FrameType.BYE:
                raise ConnectionOver("said goodbye")
            elif kind is FrameType.IN and edge.greeted:
                batches.append(decode_in(body))
            else:
                raise RemoteProtocolError("edge must begin with HELLO and send IN", rule="link-order")
        for i, batch in enumerate(batches):
            behind = sum(1 for later in batches[i + 1 :] if later.phase == batch.phase) if len(batches) > 1 else 0
            if behind >= MAX_BEHIND:
                self._overruns += 1
                continue
            self._step(edge, batch)

    def _greet(self, edge: EdgePeer, body: bytes) -> None:
        try:
            proto = json.loads(body)["proto"]
        except (ValueError, KeyError, TypeError):
            raise RemoteProtocolError("HELLO without proto", rule="link-hello") from None
        if proto != PROTOCOL:
            raise RemoteProtocolError(f"link protocol {proto}, ours is {PROTOCOL}", rule="link-proto")
        edge.greeted = True
        hello = {"proto": PROTOCOL, "worker": self._hello.worker}
        edge.out.send(pack(FrameType.HELLO, json.dumps(hello).encode()))

    def _step(self, edge: EdgePeer, batch: InBatch) -> None:
        began, waited = time.perf_counter(), self._cpu_wait.total_s()
        out = self.scheduler.step(batch, link=edge.number)
        took = time.perf_counter() - began
        self._durations.append(took)
        self._count_busy(began, load_of(took, self._cpu_wait.total_s() - waited))
        if took > self._step_s:
            self._overruns += 1
        out.sent_at = time.monotonic()
        edge.out.send(encode_out(out))
        edge.due[batch.phase] = out.sent_at + TICK_S + LATE_S
        if self._recorded_rows:
            self._record(batch)

    def _count_busy(self, began: float, took: float) -> None:
        period = int(began / self._step_s)
        if period == self._busy_period and self._busy:
            self._busy[-1] += took
        else:
            self._busy.append(took)
        self._busy_period = period

    def _conceal_overdue(self, now: float) -> None:
        for edge in self._edges:
            for phase, due in list(edge.due.items()):
                if now < due:
                    continue
                if self.scheduler.conceal(edge.number, phase):
                    edge.due[phase] = due + TICK_S
                else:
                    del edge.due[phase]  # its rows rest until it speaks again

    def _record(self, batch: InBatch) -> None:
        numbers, claims = self.scheduler.table.numbers, zip(batch.rows.tolist(), batch.seats.tolist(), strict=True)
        found = [
            (row, at, n)
            for at, (row, seat) in enumerate(claims)
            if (n := self._recorded_rows.get(row)) is not None and numbers[row] == seat
        ]
        if found:
            rows = [row for row, _, _ in found]
            caller = batch.pcm[[i for _, i, _ in found]]
            self._recorder.write([n for _, _, n in found], batch.tick, caller, self.scheduler.last_own[rows])

    # --- control -------------------------------------------------------------------------------------------

    def _from_front(self, front: FrontPeer, data: bytes) -> None:
        for message in front.reader.feed(data):
            if isinstance(message, OpenSeat):
                owned = message.call_id in self._owners
                if not owned:
                    self._owners[message.call_id] = front
                    if message.record:
                        self._wanted[message.call_id] = message.record
                self.scheduler.open(message)
            elif isinstance(message, SeatMessage):
                if self._owners.get(message.call_id) is front:
                    self.scheduler.control(message)
            elif isinstance(message, Drain):
                self.admission.draining = True

    def _tell_events(self) -> None:
        for event in self.scheduler.take_events():
            front = self._owners.get(event.call_id)
            if isinstance(event, SeatOpened):
                self._begin_recording(event)
            elif isinstance(event, SeatClosed):
                self._owners.pop(event.call_id, None)
                if self._end_recording(event, front):
                    continue
            elif isinstance(event, SeatRefused):
                self._wanted.pop(event.call_id, None)
                if event.reason != "call_has_seat":
                    self._owners.pop(event.call_id, None)
            if front is not None:
                self._send(front, event)

    def _begin_recording(self, event: SeatOpened) -> None:
        path = self._wanted.pop(event.call_id, "")
        if path:
            number = self._recorder.open(path)
            self._recordings[event.call_id] = self._recorded_rows[event.row] = number

    def _end_recording(self, event: SeatClosed, front: FrontPeer | None) -> bool:
        """Whether the call was recorded: then its end is told when the file is there."""
        number = self._recordings.pop(event.call_id, None)
        if number is None:
            return False
        self._recorded_rows = {row: n for row, n in self._recorded_rows.items() if n != number}
        event = replace(event, recording_truncated=self._recorder.close(number))
        self._unfinished[number] = (front, event, time.monotonic() + RECORDED_WITHIN_S)
        return True

    def _tell_recorded(self, now: float) -> None:
        if not self._unfinished:
            return
        over = dict(self._recorder.closed())
        over |= {n: False for n, (_, _, latest) in self._unfinished.items() if now >= latest and n not in over}
        for number, is_there in over.items():
            self._recorder.forget(number)
            front, event, _ = self._unfinished.pop(number, (None, None, 0.0))
            if front is not None and event is not None:
                self._send(front, replace(event, recording_ready=is_there))

    def _send(self, front: FrontPeer, message: Message) -> None:
        if front not in self._fronts:
            return
        try:
            front.out.send(encode(message))
            self._watch(front)
        except ConnectionOver:
            self._drop(front)

    def _tell_stats(self, now: float) -> None:
        durations, self._durations = self._durations, []
        busy, self._busy = self._busy, []
        if self._speaker_s and (took := self.scheduler.speaker_took()):
            scaled = [self._step_s / self._speaker_s * one for one in took]
            busy = max(busy, scaled, key=lambda times: percentile(times, 0.95))  # whatever is nearer to its limit
        before = self.admission.level
        self.admission.observe(busy, seats=len(self.scheduler.table), now=now)
        if self.admission.level is not before:
            self.scheduler.set_level(self.admission.level)
        self.scheduler.tell_fallback()
        counters, model = self.scheduler.counters, self.scheduler.model
        helpers = model.helpers if isinstance(model, HasHelpers) else HelperStats()
        stats = WorkerStats(
            seats=len(self.scheduler.table),
            rows=self.admission.offered,
            step_p50_ms=round(1000 * percentile(durations, 0.5), 3),
            step_p99_ms=round(1000 * percentile(durations, 0.99), 3),
            late_rows=counters.dropped_rows,
            concealed_rows=counters.concealed_rows,
            overruns=self._overruns + self.scheduler.speaker_overruns,
            degradation=int(self.admission.level),
            cpu_s=round(time.process_time(), 3),
            failed_rows=counters.failed_rows,
            last_error=counters.errors[-1] if counters.errors else "",
            recognisers_wanted=helpers.wanted,
            recognisers_live=helpers.live,
            recogniser_restarts=helpers.restarts,
            recogniser_given_up=helpers.given_up,
            fallback=fallback_of(model),
        )
        for front in list(self._fronts):
            self._send(front, stats)
        self._stats_at = now + STATS_S


def _accept(listener: socket.socket) -> socket.socket | None:
    try:
        sock, _ = listener.accept()
    except OSError:  # the peer has gone again
        return None
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def run_worker(
    *,
    name: str,
    control_path: str,
    audio_path: str,
    model_factory: Callable[[int], DuplexModel],
    rows: int = 256,
    step_budget: float = 0.6,
    phases: int = 4,
    on_ready: Callable[[WorkerHello], None] = lambda hello: None,
) -> None:
    """A worker process's main: load, measure, serve until SIGTERM. Raises ``ModelError`` and ``OSError`` at start."""
    model = model_factory(rows)
    try:
        rows = min(rows, model.self_test())
        model.warmup()
        costs = measure_steps(model, rows=rows, phases=phases)
        together = measure_speaker(model.speaker, rows=rows) if isinstance(model, HasSpeaker) else None
        worker = Worker(
            name=name,
            control_path=control_path,
            audio_path=audio_path,
            model=model,
            rows=rows,
            step_budget=step_budget,
            costs=costs,
            phases=phases,
            speaker_costs=together,
        )
    except BaseException:
        model.close()
        raise

    def on_signal(number: int, frame: Any) -> None:
        worker.stop()

    signal.signal(signal.SIGTERM, on_signal)
    gc.collect()
    gc.freeze()  # what lives since the start is never walked again in the middle of a step
    on_ready(worker.hello)
    try:
        worker.run()
    finally:
        worker.close()
