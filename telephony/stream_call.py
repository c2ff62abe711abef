"""One call of the stream edge: what its door tells goes to the front, its audio into the tick."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telephony.events import LegInfo, TransferOutcome
from telephony.link import ALL_SENT, FRAME_SAMPLES
from telephony.stream_door import CountsPackets, Door, Peer
from telephony.stream_playout import FRAME_MS, StreamPlayout

DIGITS = frozenset("0123456789*#ABCD")
MAX_UNCONFIRMED = 15
"""Frames (300 ms) after which a confirmation is not waited for any more: the worker keeps 16 for its own echo."""
_HISTORY = 64  # ticks; whoever lags by more has stalled, and nothing more counts as played
_KNOWN = (1 << 4 * _HISTORY) - 1  # frames handed out that are remembered: two in a tick, and those told of before

Tell = Callable[[str, str, dict[str, Any]], None]
"""Leg, event, fields: to the front."""


class StreamCall:
    """Implements ``telephony.stream_door.Call``; the edge alone uses what is below ``# --- edge``."""

    def __init__(
        self, info: LegInfo, peer: Peer, door: Door, *, row: int, tell: Tell, on_over: Callable[[StreamCall], None]
    ) -> None:
        self.info, self.peer, self.door = info, peer, door
        self.row = row
        self.playout = StreamPlayout()
        self.is_answered = self.is_open = self.is_over = self.held = self.muted = False
        self.link = -1
        self.worker_row = -1
        self.owed = 0
        """Ticks in which the worker's frame was not there in time, not made up for yet."""
        self.sent = 0
        """Agent frames handed to the peer."""
        self.heard_tick = 0
        """Tick of the last caller audio."""
        self.opened_tick = 0
        self.ticks = 0
        self._tell = tell
        self._on_over = on_over
        self._lead = round(door.lead_ms / FRAME_MS)
        self._fresh = True
        self._handed: deque[int] = deque([0] * _HISTORY, maxlen=_HISTORY)
        """``played`` as it would be without lag, of the last ticks, newest last."""
        self._confirmed = 0
        self._played = 0
        self._next = 0
        """Number of the last frame handed to the peer, plus one."""
        self._bits = 0
        """Which frames before it were: bit ``i`` is frame ``_next - 1 - i``."""

    @property
    def leg_id(self) -> str:
        return self.info.leg_id

    @property
    def media_ms(self) -> int:
        return (self.ticks - self.opened_tick) * FRAME_MS if self.is_open else 0

    # --- door -----------------------------------------------------------------------------------------------

    def opened(self) -> None:
        if self.is_open or self.is_over or not self.is_answered:
            return
        self.is_open = True
        self.opened_tick = self.heard_tick = self.ticks
        self._tell(self.leg_id, "answered", {})

    def hear(self, pcm: NDArray[np.int16]) -> None:
        if not self.is_open or self.is_over:
            return
        self.heard_tick = self.ticks
        if not (self.held or self.muted):
            self.playout.push(pcm)

    def key(self, digit: str, duration_ms: int = 100) -> None:
        if digit in DIGITS and not self.is_over:
            self._tell(self.leg_id, "dtmf", {"digit": digit, "duration_ms": duration_ms})

    def hold(self, held: bool) -> None:
        if held == self.held or self.is_over:
            return
        self.held = held
        self._rest()
        self._tell(self.leg_id, "held" if held else "resumed", {})

    def mute(self, muted: bool) -> None:
        self.muted = muted
        self._rest()

    def _rest(self) -> None:
        self.heard_tick = self.ticks
        self.playout.flush()

    def append(self, channel: str, text: str) -> None:
        if not self.is_over:
            self._tell(self.leg_id, "append", {"channel": channel, "text": text})

    def transfer(self, outcome: TransferOutcome, status: int, reason: str) -> None:
        if not self.is_over:
            self._tell(self.leg_id, "transfer", {"outcome": outcome.value, "status": status, "reason": reason})

    def confirm(self, played: int) -> None:
        self._confirmed = max(self._confirmed, played)

    def end(self, *, by: str = "caller", status: int = 0, reason: str = "bye") -> None:
        if self.is_over:
            return
        self.is_over = True
        self._tell(self.leg_id, "quality", {"quality": self.quality()})
        self._tell(self.leg_id, "ended", {"by": by, "status": status, "reason": reason})
        self._on_over(self)

    # --- edge -----------------------------------------------------------------------------------------------

    def seated(self) -> None:
        """Another claim: its frames are counted from 0."""
        self._handed.extend([0] * _HISTORY)
        self._confirmed = self._played = self.owed = self._next = self._bits = 0

    def play(self, pcm: NDArray[np.int16], frame_no: int, *, cleared: bool) -> None:
        """One tick's agent audio; ``frame_no`` -1: there was none. ``cleared``: the agent has been cut before it."""
        if cleared:
            self._clear()
        if self._fresh:
            self._fresh = False
            for _ in range(self._lead):
                self.peer.play(np.zeros(FRAME_SAMPLES, np.int16), -1)
        self.peer.play(pcm, frame_no)
        self.sent += 1
        if frame_no >= self._next:
            self._bits = ((self._bits << (frame_no + 1 - self._next)) | 1) & _KNOWN
            self._next = frame_no + 1

    def _clear(self) -> None:
        """What the far end has not played by now it never will: it must never count as played either."""
        played = self.played()
        self.peer.clear()
        self._fresh = True
        self._confirmed = max(self._confirmed, self._handed[-1])
        self._handed.extend([played] * _HISTORY)
        unplayed = max(0, self._next - played)
        self._bits = self._bits >> unplayed << unplayed

    def note_tick(self) -> None:
        """The tick is over: what has been handed to the peer in it is."""
        self._handed.append(self._next)

    def sent_before(self, played: int) -> int:
        """Which of the 32 frames before ``played`` were handed to the peer and not cleared (``InBatch.sent``)."""
        return (self._bits >> max(0, self._next - played)) & ALL_SENT

    def played(self) -> int:
        """Frames of the claim that count as played now; see the module of the Door protocol."""
        lag = self._lead + self.peer.unsent
        played = self._handed[-1 - lag] if lag < _HISTORY else 0
        if self.door.confirms and played - self._confirmed <= MAX_UNCONFIRMED:
            played = min(played, self._confirmed)
        self._played = max(self._played, played)
        return self._played

    def quality(self) -> dict[str, Any]:
        """``MediaQuality`` fields: packets are frames of 20 ms."""
        playout = self.playout
        packets = self.peer.counters() if isinstance(self.peer, CountsPackets) else {}
        return {
            "sent": self.sent,
            "received": playout.received // FRAME_SAMPLES,
            "lost": 0,
            "late": playout.dropped // FRAME_SAMPLES,
            "duplicate": 0,
            "concealed": playout.concealed,
            "jitter_ms": 0.0,
            "delay_ms": round(playout.level_ms, 1),
            "rtt_ms": None,
            "foreign": 0,
            **packets,
        }
