"""The far end of one WebRTC call: a leg that outlives its peer connections.

Implements ``telephony.stream_door.Peer``. A connection that is lost leaves the call on hold for ``resume_s``; a new
offer with the resume token puts another one under it. The new one takes over when it is connected, so that a browser
that changes networks hears no gap while the old path still works.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telephony.errors import MediaError
from telephony.rtp.dtmf import Key
from telephony.stream_door import Call
from telephony.webrtc.connection import Connection, Handlers
from telephony.webrtc.media import Counters, Inbound, Outbound

LOST_AFTER_S = 2.0
"""Nothing from the peer for that long (it sends fifty packets a second): the call is put on hold."""
RTCP_S = 5.0
_LOOK_TICKS = 25
_KEYS_PER_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the front made of the offer. ``status`` 0: accepted."""

    status: int = 0
    reason: str = ""
    retry_after_s: int | None = None


class BrowserPeer(Handlers):
    """One caller in a browser (or any WHIP client)."""

    def __init__(
        self, session_id: str, *, resume_s: float, complexity: int, close: Callable[[Connection], None]
    ) -> None:
        self.session_id = session_id
        """Unguessable name of the WHIP resource."""
        self.call: Call | None = None
        self.connection: Connection | None = None
        """The one that media flows through."""
        self.pending: Connection | None = None
        """One that is not connected yet: the first, or one that resumes the call."""
        self.decided: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._close = close
        """Closes a connection soon: that waits, and nothing here may."""
        self._resume_s = resume_s
        self._complexity = complexity
        self._inbound: Inbound | None = None
        self._outbound: Outbound | None = None
        self._lost_at: float | None = None
        self._ticks = 0
        self._reported_at = 0.0
        self._keys = (0.0, 0)
        self._over = Counters()
        """Of the connections that were."""
        self.unsent = 0

    @property
    def is_over(self) -> bool:
        return self.call is not None and self.call.is_over

    # --- stream_door.Peer: called by the edge ---

    def answered(self) -> None:
        self._decide(Decision())

    def refused(self, status: int, reason: str, retry_after_s: int | None) -> None:
        self._decide(Decision(status=status or 503, reason=reason, retry_after_s=retry_after_s))
        self._shut()

    def play(self, pcm: NDArray[np.int16], frame_no: int) -> None:
        self._ticks += 1
        connection, outbound = self.connection, self._outbound
        if self._ticks % _LOOK_TICKS == 0:
            self._look()
        if connection is None or outbound is None:
            return
        connection.send_rtp(outbound.packet(pcm))

    def clear(self) -> None:
        """Nothing to drop: a packet is sent in the tick that it belongs to."""

    def send_dtmf(self, digits: str) -> None:
        raise MediaError("a browser takes no keys")

    def transfer(self, target: str) -> None:
        raise MediaError("a browser cannot be transferred")

    def notify(self, at_ms: int, kind: str, data: dict[str, Any]) -> None:
        if self.connection is not None:
            self.connection.send_text(json.dumps({"at_ms": at_ms, "kind": kind, "data": data}, separators=(",", ":")))

    def ended(self, reason: str) -> None:
        self.notify(0, "ended", {"reason": reason})
        self._decide(Decision(status=503, reason=reason))
        self._shut()

    def counters(self) -> dict[str, Any]:
        """Fields of ``MediaQuality`` that packets tell better than frames."""
        now = self._inbound.counters if self._inbound is not None else Counters()
        over = self._over
        foreign = self.connection.foreign if self.connection is not None else 0
        return {
            "received": over.received + now.received,
            "lost": over.lost + now.lost,
            "duplicate": over.duplicate + now.duplicate,
            "late": over.late + now.late,
            "jitter_ms": round(now.jitter_ms, 2),
            "rtt_ms": None if now.rtt_ms is None else round(now.rtt_ms, 2),
            "foreign": foreign,
        }

    # --- Handlers: called by connections ---

    def on_connected(self, connection: Connection) -> None:
        if connection is not self.pending:
            self._close(connection)
            return
        former, self.connection, self.pending = self.connection, connection, None
        if former is not None:
            self._close(former)
        self._start_media(connection)
        self._lost_at = None
        if self.call is not None:
            self.call.hold(False)
            self.call.opened()

    def on_rtp(self, connection: Connection, data: bytes) -> None:
        call, inbound = self.call, self._inbound
        if connection is not self.connection or inbound is None or call is None:
            return
        if self._lost_at is not None:
            self._found()
        got = inbound.receive(data, time.monotonic())
        if got is None:
            return
        if isinstance(got, Key):
            call.key(got.digit, got.duration_ms)
            return
        for pcm in got:
            call.hear(pcm)

    def on_rtcp(self, connection: Connection, data: bytes) -> None:
        if connection is self.connection and self._inbound is not None:
            self._inbound.take_report(data, connection.ssrc, time.monotonic(), time.time())

    def on_message(self, connection: Connection, text: str) -> None:
        """From the page: ``{"type": "dtmf", "digit": "5"}`` or ``{"type": "bye"}``; anything else is ignored."""
        call = self.call
        if connection is not self.connection or call is None:
            return
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            return
        kind = body.get("type") if isinstance(body, dict) else None
        if kind == "bye":
            self.hang_up()
        elif kind == "dtmf" and isinstance(digit := body.get("digit"), str) and self._may_press():
            call.key(digit)

    def on_closed(self, connection: Connection, why: str) -> None:
        if connection is self.pending:
            self.pending = None
            if self.connection is None and self.call is not None:
                self.call.end(by="network", reason="no_ack")
        elif connection is self.connection:
            self.connection = None
            if self.call is not None:
                self.call.end(by="caller", reason="bye")  # closed in order: the page is gone

    # --- the rest ---

    def hang_up(self) -> None:
        """The client has said that it is over."""
        if self.call is not None:
            self.call.end(by="caller", reason="bye")
        self._shut()

    def _decide(self, decision: Decision) -> None:
        if not self.decided.done():
            self.decided.set_result(decision)

    def _shut(self) -> None:
        if self.connection is not None:
            self._send_report(self.connection, bye=True)
        for connection in (self.connection, self.pending):
            if connection is not None:
                self._close(connection)
        self.connection = self.pending = None

    def _send_report(self, connection: Connection, *, bye: bool = False) -> None:
        if self._inbound is not None and self._outbound is not None:
            blocks = self._inbound.report(time.monotonic())
            connection.send_rtcp(self._outbound.report(time.time(), blocks, connection.cname, bye=bye))

    def _start_media(self, connection: Connection) -> None:
        self.free()
        audio = connection.audio
        self._inbound = Inbound(audio)
        self._outbound = Outbound(
            audio,
            ssrc=connection.ssrc,
            sequence=random.getrandbits(15),
            timestamp=random.getrandbits(32),
            complexity=self._complexity,
        )

    def free(self) -> None:
        """Give codec state back."""
        if self._inbound is not None and self._outbound is not None:
            was, over = self._inbound.counters, self._over
            over.received += was.received
            over.lost += was.lost
            over.late += was.late
            over.duplicate += was.duplicate
            self._inbound.close()
            self._outbound.close()
        self._inbound = self._outbound = None

    def _look(self) -> None:
        """Twice a second: is the peer there, is a report due."""
        connection, call = self.connection, self.call
        if connection is None or call is None:
            return
        now = asyncio.get_running_loop().time()
        silent_s = now - connection.received_at
        if silent_s > self._resume_s:
            call.end(by="network", reason="media_timeout")
            self._shut()
        elif silent_s > LOST_AFTER_S and self._lost_at is None:
            self._lost_at = now
            call.hold(True)
        elif now - self._reported_at > RTCP_S:
            self._reported_at = now
            self._send_report(connection)

    def _found(self) -> None:
        self._lost_at = None
        if self.call is not None:
            self.call.hold(False)

    def _may_press(self) -> bool:
        now = time.monotonic()
        since, count = self._keys
        self._keys = (now, 1) if now - since > 1.0 else (since, count + 1)
        return self._keys[1] <= _KEYS_PER_S
