"""The stream edge: a process of its own for legs whose signalling and audio come over one socket.

Doors (``telephony.stream_door``) accept connections and speak their protocols; here is what they share: the calls, the
tick, the workers and the front. One tick of 20 ms at absolute deadlines for all calls: at its start each call's caller
frame goes to its worker, half a tick later the agent frames that were answered go to the peers. JSON, TLS and base64
of a hundred streams may take their time in this process: no RTP packet waits for it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telephony.edge_control import ControlServer
from telephony.edge_links import WorkerLink
from telephony.edge_messages import seat_from_json
from telephony.edge_queue import AgentQueue
from telephony.errors import MediaError, RemoteProtocolError
from telephony.events import Direction, LegInfo
from telephony.link import FRAME_SAMPLES, InBatch, InFlag, encode_in
from telephony.plane import SeatAddress
from telephony.stream_call import StreamCall
from telephony.stream_door import Door, Peer
from telephony.stream_messages import COMMANDS, info_to_json

TICK_S = 0.02
_CATCH_UP_TICKS = 2
_FRONT_GRACE_S = 2.0
_FIRST_FRONT_S = 30.0
_POLLS_PER_STEP = 8  # of four commands each: live events come in numbers
_QUALITY_TICKS = 250
_TICKS_PER_S = 50
_REFUSALS_PER_S = 5
MOST_OWED = 2
"""Late frames that are made up for: what the queue of a leg holds."""
_LATE_LIMIT = 500  # ticks whose lateness is kept


class StreamEdge:
    """State of one stream edge. ``step_in`` and ``step_out`` do a tick; ``run`` does them in time."""

    def __init__(
        self, control_path: str, *, max_calls: int, silence_timeout_s: float, now: float, name: str = "stream"
    ) -> None:
        self._name = name
        self._max_calls = max_calls
        self._silence_ticks = round(silence_timeout_s / TICK_S)
        self._calls: dict[str, StreamCall] = {}
        self._rows: list[StreamCall | None] = [None] * max_calls
        self._queue = AgentQueue(max_calls)
        self._epoch = np.full(max_calls, -1, np.int64)
        self._cleared = np.zeros(max_calls, np.bool_)
        self._first = np.zeros(max_calls, np.bool_)
        self._links: list[WorkerLink] = []
        self._control = ControlServer(control_path, self._command, now)
        self._draining = False
        self._late_ms: list[float] = []
        self._offered = self._refusals = self._refusals_at = self._missed = 0
        self.ticks = 0
        self.skipped_ticks = 0
        self.stopping = False
        self.port = 0
        """Port of the HTTP server, once it listens."""

    # --- desk -----------------------------------------------------------------------------------------------

    @property
    def refusal(self) -> tuple[int, str] | None:
        """HTTP status and words while no call can be taken."""
        if self._draining or self.stopping:
            return 503, "draining"
        if self._control.alone_since is not None:
            return 503, "starting"
        return (503, "all streams are in use") if len(self._calls) >= self._max_calls else None

    def offer(
        self, peer: Peer, *, door: Door, source: str, from_uri: str, to_uri: str, signalling_id: str = "",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> StreamCall:  # fmt: skip
        """A new call: it rings at the front."""
        if (refused := self.refusal) is not None:
            raise MediaError(refused[1])
        info = LegInfo(
            leg_id=secrets.token_hex(16), transport=door.name, direction=Direction.INBOUND, from_uri=from_uri,
            to_uri=to_uri, source=source, signalling_id=signalling_id, headers=headers,
        )  # fmt: skip
        row = self._rows.index(None)
        call = StreamCall(info, peer, door, row=row, tell=self._tell, on_over=self._forget)
        call.ticks = self.ticks
        self._calls[info.leg_id] = self._rows[row] = call
        self._queue.seat_row(row, -1)
        self._offered += 1
        self._tell(info.leg_id, "offered", {"info": info_to_json(info)})
        return call

    def refused(self, door: str, source: str, rule: str, why: str) -> None:
        """A line for the front's log; a flood is counted in the next line that is told."""
        second = self.ticks // _TICKS_PER_S
        if second != self._refusals_at:
            self._refusals_at, self._refusals = second, 0
        self._refusals += 1
        if self._refusals > _REFUSALS_PER_S:
            self._missed += 1
            return
        missed, self._missed = self._missed, 0
        self._tell("", "refused", {"door": door, "source": source, "rule": rule, "why": why, "missed": missed})

    # --- time -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ticks at absolute deadlines until told to stop or left alone."""
        start, count = time.monotonic() + TICK_S, 0
        while not self.stopping:
            deadline = start + count * TICK_S / 2
            wait = deadline - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            elif count % 2 == 0:
                await asyncio.sleep(0)  # behind: sockets must still be served
            now = time.monotonic()
            late = now - deadline
            if late > _CATCH_UP_TICKS * TICK_S:  # on to a deadline that is still to come: nothing is played late
                missed = int(late / TICK_S) + 1
                count += 2 * missed
                self.skipped_ticks += missed
                continue
            if count % 2 == 0:
                self._late_ms.append(late * 1000.0)
                self.step_in(now)
            else:
                self.step_out()
            self._serve_front(now)
            count += 1

    def step_in(self, now: float) -> None:
        """Caller audio to the workers."""
        self.ticks += 1
        by_link: dict[int, list[StreamCall]] = {}
        for call in self._calls.values():
            call.ticks = self.ticks
            if call.is_open and call.link >= 0:
                by_link.setdefault(call.link, []).append(call)
        for at, calls in by_link.items():
            self._links[at].send(encode_in(self._batch(calls)))
        for link in self._links:
            if link.legs and not link.up:
                link.poll_connect(now)
            link.take_loss()
        del self._late_ms[:-_LATE_LIMIT]
        if self.ticks % _QUALITY_TICKS == 0:
            self._report()

    def step_out(self) -> None:
        """Agent audio to the peers."""
        self._read_workers()
        calls = [call for call in self._calls.values() if call.is_open and not call.is_over]
        if not calls:
            return
        n = max(call.row for call in calls) + 1
        sends = np.zeros(n, np.bool_)
        sends[[call.row for call in calls]] = True
        out = self._queue.pop(n, sends)
        for call in calls:
            row = call.row
            call.play(out.pcm[row], int(out.frame_no[row]), cleared=bool(self._cleared[row]))
            self._cleared[row] = False
            if call.door.confirms and out.has[row]:
                self._catch_up(call)
            call.owed = min(MOST_OWED, call.owed + (not out.has[row]))
            call.note_tick()

    def _catch_up(self, call: StreamCall) -> None:
        """What a worker answered late goes behind what came in time: a far end with a buffer of its own hears no gap,
        and nothing has to be dropped to get the delay down."""
        if not call.owed or (late := self._queue.pop_row(call.row)) is None:
            return
        call.owed -= 1
        call.play(*late, cleared=False)

    def _batch(self, calls: list[StreamCall]) -> InBatch:
        n, at_rows = len(calls), [call.row for call in calls]
        pcm, flags = np.zeros((n, FRAME_SAMPLES), np.int16), np.zeros(n, np.uint8)
        played = [call.played() for call in calls]
        for at, call in enumerate(calls):
            pcm[at], made_up = call.playout.pop()
            flags[at] = (InFlag.CONCEALED if made_up else 0) | (InFlag.HELD if call.held else 0)
            if self._first[call.row]:
                flags[at] |= InFlag.FIRST
                self._first[call.row] = False
        return InBatch(
            tick=self.ticks, phase=0, sent_at=time.monotonic(),
            rows=np.array([call.worker_row for call in calls], np.uint16),
            seats=self._queue.seat[at_rows].astype(np.uint32),
            flags=flags | self._queue.flags(np.array(at_rows, np.intp)), played=np.array(played, np.uint32),
            sent=np.array([call.sent_before(n) for call, n in zip(calls, played, strict=True)], np.uint32),
            taken=self._queue.taken[at_rows].astype(np.uint32), pcm=pcm,
        )  # fmt: skip

    def _read_workers(self) -> None:
        for link in self._links:
            if not link.up:
                continue
            for batch in link.receive():
                pick = (link.phase_of[batch.rows] == 0).nonzero()[0]
                if not len(pick):
                    continue
                rows = link.row_of[batch.rows[pick]]
                self._note_epochs(rows, batch.seats[pick], batch.epochs[pick].astype(np.int64))
                self._queue.push(rows.astype(np.intp), batch, pick)

    def _note_epochs(self, rows: NDArray[np.int32], seats: NDArray[np.uint32], epochs: NDArray[np.int64]) -> None:
        ours = seats == self._queue.seat[rows]
        rows, epochs = rows[ours], epochs[ours]
        before = self._epoch[rows]
        self._cleared[rows[(epochs > before) & (before >= 0)]] = True
        np.maximum.at(self._epoch, rows, epochs)

    def _report(self) -> None:
        for call in list(self._calls.values()):
            if not call.is_open:
                continue
            self._tell(call.leg_id, "quality", {"quality": call.quality()})
            silent = self.ticks - call.heard_tick
            if silent > self._silence_ticks and not (call.held or call.muted):
                self._tell(call.leg_id, "timeout", {"silent_s": silent * TICK_S})

    # --- front ----------------------------------------------------------------------------------------------

    def _serve_front(self, now: float) -> None:
        for _ in range(_POLLS_PER_STEP):
            self._control.poll(now)
        alone = self._control.alone_since
        grace = _FRONT_GRACE_S if self._control.seen_front else _FIRST_FRONT_S
        if alone is not None and now - alone > grace:
            self.stopping = True

    def _tell(self, leg_id: str, event: str, more: dict[str, Any]) -> None:
        self._control.tell({"event": event, "leg": leg_id, **more})

    def _command(self, command: str, body: dict[str, Any]) -> dict[str, Any]:
        if command not in COMMANDS:
            raise RemoteProtocolError(f"no command {command!r}", rule="stream-command")
        if command == "stats":
            return {"stats": self._stats()}
        if command == "drain":
            self._draining = True
            return {}
        call = self._calls.get(str(body.get("leg", "")))
        if call is None:
            if command in ("answer", "route", "hangup", "refuse", "notify"):
                return {}  # it has ended by itself; the news of that is on its way
            raise MediaError(f"no leg {body.get('leg')!r}")
        self._change(call, command, body)
        return {}

    def _change(self, call: StreamCall, command: str, body: dict[str, Any]) -> None:
        match command:
            case "answer":
                self._answer(call, seat_from_json(body.get("seat")))
            case "route":
                self._route(call, seat_from_json(body.get("seat")))
            case "refuse":
                self._end_ours(call)
                retry = body.get("retry_after_s")
                call.peer.refused(int(body.get("status", 503)), str(body.get("reason", "")), retry)
            case "hangup":
                self._end_ours(call)
                call.peer.ended(str(body.get("reason", "hangup")))
            case "dtmf":
                call.peer.send_dtmf(str(body.get("digits", "")))
            case "transfer":
                call.peer.transfer(str(body.get("target", "")))
            case "notify":
                call.peer.notify(int(body.get("at_ms", 0)), str(body.get("kind", "")), dict(body.get("data") or {}))

    def _answer(self, call: StreamCall, seat: SeatAddress) -> None:
        if call.is_answered:
            raise MediaError(f"leg {call.leg_id!r} is answered")
        self._route(call, seat)
        call.is_answered = True
        call.peer.answered()

    def _end_ours(self, call: StreamCall) -> None:
        call.end(by="us", status=200, reason="hangup")

    # --- workers --------------------------------------------------------------------------------------------

    def _route(self, call: StreamCall, seat: SeatAddress) -> None:
        self._unroute(call)
        at = self._link_to(seat.worker)
        link = self._links[at]
        link.phase_of[seat.row], link.row_of[seat.row] = 0, call.row
        link.legs += 1
        call.link, call.worker_row = at, seat.row
        self._queue.seat_row(call.row, seat.seat)
        self._epoch[call.row], self._first[call.row], self._cleared[call.row] = -1, True, False
        call.seated()
        link.poll_connect(time.monotonic())

    def _unroute(self, call: StreamCall) -> None:
        if call.link < 0:
            return
        link = self._links[call.link]
        link.legs -= 1
        if link.row_of[call.worker_row] == call.row:  # the row may belong to another call by now
            link.phase_of[call.worker_row] = -1
        call.link = call.worker_row = -1

    def _link_to(self, address: str) -> int:
        for at, link in enumerate(self._links):
            if link.address == address:
                return at
        fresh = WorkerLink(address, edge=self._name, phases=1)
        for at, link in enumerate(self._links):
            if not link.legs:  # reuse the place of a worker that nobody needs any more
                link.close()
                self._links[at] = fresh
                return at
        self._links.append(fresh)
        return len(self._links) - 1

    def _forget(self, call: StreamCall) -> None:
        self._unroute(call)
        self._queue.seat_row(call.row, -1)
        self._rows[call.row] = None
        del self._calls[call.leg_id]

    # --- the rest -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End all calls and free everything."""
        for call in list(self._calls.values()):
            call.end(by="edge", reason="shutdown")
            call.peer.ended("shutdown")
        for link in self._links:
            link.close()
        self._control.close()

    def _stats(self) -> dict[str, Any]:
        late = sorted(self._late_ms) or [0.0]
        doors: dict[str, int] = {}
        for call in self._calls.values():
            doors[call.door.name] = doors.get(call.door.name, 0) + 1
        return {
            "pid": os.getpid(),
            "port": self.port,
            "calls": doors,
            "offered": self._offered,
            "ticks": self.ticks,
            "skipped_ticks": self.skipped_ticks,
            "tick_late_p99_ms": round(late[int(len(late) * 0.99)], 2),
            "cpu_s": round(time.process_time(), 3),
            "underruns": int(self._queue.underruns.sum()),
            "dropped_frames": int(self._queue.dropped.sum()),
        }
