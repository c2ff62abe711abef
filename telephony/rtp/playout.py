"""Adaptive playout of many legs: arrays over legs, one frame of 20 ms per leg and tick.

Audio is kept in blocks of 10 ms by position, so packets of 10 to 60 ms are re-framed by being stored. A position is
RTP time on the leg's own line: block ``p`` of a source is played at the tick where ``play`` is ``p``; moving ``play``
changes the delay. The delay of a packet is the time from its arrival (kernel time, not drain time) to its playing.

Target: 2.5 times the RFC 3550 jitter plus 20 ms, within limits, or what a late packet has shown to be needed (which
wears off). Late packets raise the delay at once; it shrinks in silence, and by force where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telephony.audio import g711
from telephony.audio.plc import Concealer
from telephony.rtp.sequence import seq_deltas, ts_deltas

BLOCK = 80
"""Samples of 10 ms at 8 kHz: the grain of storage and of delay changes."""
BLOCK_MS = 10
FRAME_BLOCKS = 2
FRAME_MS = 20
FRAME = BLOCK * FRAME_BLOCKS
MAX_PAYLOAD = 60 * 8
"""Bytes of the longest packet that is taken (60 ms)."""

_RING = 128  # blocks kept per leg: 1.28 s
_LOST_TRACK_MS = 500.0  # a packet further off than this starts a new time line
_MAX_DROPOUT = 3000  # RFC 3550 App. A.1
_HARD_SKIP_MS = 60.0
_FORCE_AFTER_MS = 400.0  # this long above target without silence, and a frame goes anyway
_FAST_MS = 100.0  # between shrinks after a burst
_SLOW_MS = 1000.0
_WEAR_OFF = FRAME_MS / 500.0  # per tick: what lateness has taught is forgotten with 0.5 s
_SILENT_LEVEL = 120.0  # mean magnitude, about -49 dBFS
_STOPPED_MS = 1000.0  # a source silent this long has stopped: its gap is no loss


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayoutLimits:
    min_ms: float = 20.0
    start_ms: float = 40.0
    max_ms: float = 100.0


@dataclass(slots=True)
class Arrivals:
    """Audio packets, at most one per leg; arrays are [k]."""

    rows: NDArray[np.intp]
    sequence: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    ssrc: NDArray[np.int64]
    age_ms: NDArray[np.float64]
    """Time since the packet arrived, at least 0."""
    size: NDArray[np.int64]
    """Bytes of payload, at least 80."""
    payload: NDArray[np.uint8]
    """[k, at least the largest ``size`` rounded down to blocks]"""


class Playout:
    """Playout of ``rows`` legs. ``now_ms`` is media time of the tick, on any steady clock."""

    def __init__(self, rows: int, limits: PlayoutLimits) -> None:
        self._limits = limits
        self._ring = np.zeros((rows * _RING, BLOCK), np.uint8)
        self._stamp = np.full(rows * _RING, -1, np.int64)  # position that a block of the ring holds
        self._concealer = Concealer(rows)
        self.alaw = np.zeros(rows, np.bool_)
        # Time line of the source.
        self.has_source = np.zeros(rows, np.bool_)
        self.ssrc = np.zeros(rows, np.int64)
        self._ref_ts = np.zeros(rows, np.int64)
        self._ref_pos = np.zeros(rows, np.int64)
        self._play = np.zeros(rows, np.int64)
        self._head = np.zeros(rows, np.int64)  # end of what has been received
        self._begin = np.zeros(rows, np.int64)  # where the first source begins: before it nothing is missing
        self._pause = np.zeros(rows, np.int64)  # frames to insert
        # Adaptation.
        self.jitter_ms = np.zeros(rows)
        self._transit = np.full(rows, np.nan)
        self.delay_ms = np.full(rows, np.nan)
        """Mean delay of played packets (over about 16)."""
        self._learned_ms = np.zeros(rows)
        self._next_change_ms = np.zeros(rows)
        self._over_since_ms = np.full(rows, np.inf)
        self._heard_ms = np.zeros(rows)
        self.quiet = np.zeros(rows, np.bool_)
        """The peer has said that it is silent (comfort noise, a key): a gap is silence, not loss."""
        # Counters since the leg began.
        self._first = np.zeros(rows, np.int64)
        self.highest = np.zeros(rows, np.int64)
        """Extended highest sequence number of this source."""
        self._source_received = np.zeros(rows, np.int64)
        self._lost_before = np.zeros(rows, np.int64)  # of earlier sources
        self.received = np.zeros(rows, np.int64)
        self.late = np.zeros(rows, np.int64)
        self.duplicate = np.zeros(rows, np.int64)
        self.concealed = np.zeros(rows, np.int64)
        self.skipped = np.zeros(rows, np.int64)
        """Frames dropped to get the delay down, or because we were stopped ourselves."""

    def open(self, row: int, *, alaw: bool) -> None:
        """Start a leg on ``row`` from nothing."""
        self.alaw[row] = alaw
        self._stamp[row * _RING : (row + 1) * _RING] = -1
        self._concealer.reset(row)
        self.has_source[row] = self.quiet[row] = False
        for counter in (
            self._play, self._head, self._begin, self._pause, self.received, self.late, self.duplicate, self.concealed,
            self.skipped, self._first, self.highest, self._source_received, self._lost_before, self.ssrc,
            self._next_change_ms, self._heard_ms, self.jitter_ms,
        ):  # fmt: skip
            counter[row] = 0
        self._transit[row] = self.delay_ms[row] = np.nan
        self._over_since_ms[row] = np.inf
        self._learned_ms[row] = self._limits.start_ms

    def lost(self, row: int) -> int:
        """Packets lost so far (RFC 3550 App. A.3), never below zero."""
        return int(self._lost_before[row]) + self.source_lost(row)

    def source_expected(self, row: int) -> int:
        """Packets of this source that should have come."""
        return int(self.highest[row] - self._first[row]) + 1 if self.has_source[row] else 0

    def source_lost(self, row: int) -> int:
        """Packets of this source lost so far."""
        return max(0, self.source_expected(row) - int(self._source_received[row]))

    def target_ms(self, rows: NDArray[np.intp] | slice) -> NDArray[np.float64]:
        """Delay that is aimed at."""
        wanted = np.maximum(2.5 * self.jitter_ms[rows] + 20.0, self._learned_ms[rows])
        return np.asarray(np.clip(wanted, self._limits.min_ms, self._limits.max_ms))

    # --- in -------------------------------------------------------------------------------------------------

    def receive(self, packets: Arrivals, now_ms: float) -> None:
        """Take packets in the order of their arrival."""
        rows = packets.rows
        fresh = ~self.has_source[rows] | (self.ssrc[rows] != packets.ssrc)
        if fresh.any():
            self._begin_sources(packets, fresh, now_ms)
        ahead = self._count(packets)
        position = self._locate(packets, ahead)
        margin = position - self._play[rows]
        delay = margin * BLOCK_MS + packets.age_ms
        astray = np.abs(delay) > _LOST_TRACK_MS
        if astray.any():
            position[astray] = self._anchor(rows[astray], packets.timestamp[astray], packets.age_ms[astray])
            self._transit[rows[astray]] = np.nan
            margin = position - self._play[rows]
            delay = margin * BLOCK_MS + packets.age_ms
        self._measure_jitter(rows, now_ms - packets.age_ms - position * BLOCK_MS)
        blocks = packets.size // BLOCK
        known = self._stamp[rows * _RING + position % _RING] == position
        if known.any():
            self.duplicate[rows[known]] += 1
        missed = (margin < 0) & ~known
        if missed.any():
            self._take_missed(packets, position, margin, missed)
            margin = position - self._play[rows]
            delay = margin * BLOCK_MS + packets.age_ms
        self._smooth_delay(rows, delay, (margin + blocks > 0) & ~known)
        self._store(rows, position, blocks, margin, packets.payload)
        self._head[rows] = np.maximum(self._head[rows], position + blocks)
        self._heard_ms[rows] = now_ms
        self.quiet[rows] = False

    def _begin_sources(self, packets: Arrivals, fresh: NDArray[np.bool_], now_ms: float) -> None:
        """RFC 3550 §8.2: a new SSRC is a new source. Sequence and jitter start anew, playing goes on."""
        rows = packets.rows[fresh]
        for row in rows[self.has_source[rows]]:
            self._lost_before[row] += self.source_lost(row)
        first = ~self.has_source[rows]
        self.has_source[rows] = True
        self.ssrc[rows] = packets.ssrc[fresh]
        self._restart_count(rows, packets.sequence[fresh])
        self.jitter_ms[rows] = 0.0
        self._transit[rows] = np.nan
        position = self._anchor(rows, packets.timestamp[fresh], packets.age_ms[fresh])
        self._begin[rows[first]] = position[first]

    def _restart_count(self, rows: NDArray[np.intp], sequence: NDArray[np.int64]) -> None:
        # One cycle up, so that a reordered packet before the first stays positive.
        self._first[rows] = self.highest[rows] = sequence + 0x10000
        self._source_received[rows] = 0

    def _anchor(
        self, rows: NDArray[np.intp], timestamp: NDArray[np.int64], age_ms: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Begin a time line: these packets follow what is buffered, or play after the target delay."""
        wait = np.rint((self.target_ms(rows) - age_ms) / BLOCK_MS).astype(np.int64)
        position = np.maximum(self._play[rows] + np.maximum(wait, 0), self._head[rows])
        near = self._play[rows] + _RING // 4
        self._head[rows] = position = np.minimum(position, near)
        self._ref_ts[rows], self._ref_pos[rows] = timestamp, position
        return position

    def _count(self, packets: Arrivals) -> NDArray[np.bool_]:
        """Sequence numbers to counters; which packets are newer than all before."""
        rows = packets.rows
        delta = seq_deltas(packets.sequence, self.highest[rows] & 0xFFFF)
        wild = np.abs(delta) > _MAX_DROPOUT
        if wild.any():
            restarted = rows[wild]
            for row in restarted:
                self._lost_before[row] += self.source_lost(row)
            self._restart_count(restarted, packets.sequence[wild])
            delta[wild] = 0
        ahead = (delta > 0) | wild
        self.highest[rows] += np.maximum(delta, 0)
        self._first[rows] = np.minimum(self._first[rows], self.highest[rows] + np.minimum(delta, 0))
        self.received[rows] += 1
        self._source_received[rows] += 1
        return ahead

    def _locate(self, packets: Arrivals, ahead: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Positions [k] of the packets' first blocks. A timestamp off the grain is rounded to it."""
        rows = packets.rows
        distance = ts_deltas(packets.timestamp, self._ref_ts[rows])
        position = self._ref_pos[rows] + (distance + BLOCK // 2) // BLOCK
        self._ref_ts[rows] = np.where(ahead, packets.timestamp, self._ref_ts[rows])
        self._ref_pos[rows] = np.where(ahead, position, self._ref_pos[rows])
        return np.asarray(position, np.int64)

    def _measure_jitter(self, rows: NDArray[np.intp], transit: NDArray[np.float64]) -> None:
        """RFC 3550 §6.4.1 and App. A.8."""
        change = np.abs(transit - self._transit[rows])
        jitter = self.jitter_ms[rows]
        self.jitter_ms[rows] = np.where(np.isnan(change), jitter, jitter + (change - jitter) / 16.0)
        self._transit[rows] = transit

    def _take_missed(
        self,
        packets: Arrivals,
        position: NDArray[np.int64],
        margin: NDArray[np.int64],
        missed: NDArray[np.bool_],
    ) -> None:
        """Packets [k] whose tick has gone by. If the network was late, the delay grows at once."""
        rows = packets.rows
        # Arrived before its tick, found after it: we were stopped ourselves. That teaches nothing about the network.
        in_time = packets.age_ms >= FRAME_MS * ((1 - margin) // FRAME_BLOCKS)
        self.skipped[rows[missed & in_time]] += 1
        behind = missed & ~in_time
        late = rows[behind]
        if not len(late):
            return
        self.late[late] += 1
        mean = np.where(np.isnan(self.delay_ms[late]), self._learned_ms[late], self.delay_ms[late])
        room = np.maximum(self._limits.max_ms - mean - self._pause[late] * FRAME_MS, 0.0)
        grow = np.minimum(-margin[behind], np.floor(room / BLOCK_MS).astype(np.int64))
        # Going back is right where nothing newer was played since; otherwise a pause makes the room.
        unplayed = np.maximum(self._play[late] - np.maximum(self._head[late], position[behind]), 0)
        back = np.minimum(grow, unplayed)
        pause = (grow - back + 1) // FRAME_BLOCKS
        self._play[late] -= back
        self._pause[late] += pause
        self.delay_ms[late] = mean + back * BLOCK_MS
        self._learned_ms[late] = np.maximum(self._learned_ms[late], mean + grow * BLOCK_MS)

    def _smooth_delay(self, rows: NDArray[np.intp], delay: NDArray[np.float64], played: NDArray[np.bool_]) -> None:
        mean = self.delay_ms[rows]
        mean = np.where(np.isnan(mean), delay, mean + (delay - mean) / 16.0)
        self.delay_ms[rows] = np.where(played, mean, self.delay_ms[rows])

    def _store(
        self,
        rows: NDArray[np.intp],
        position: NDArray[np.int64],
        blocks: NDArray[np.int64],
        margin: NDArray[np.int64],
        payload: NDArray[np.uint8],
    ) -> None:
        base = rows * _RING
        for block in range(int(blocks.max())):
            wanted = (blocks > block) & (margin + block >= 0)
            piece = payload[:, block * BLOCK : (block + 1) * BLOCK]
            at = position + block
            if wanted.all():
                slot = base + at % _RING
            else:
                piece, at = piece[wanted], at[wanted]
                slot = base[wanted] + at % _RING
            self._ring[slot] = piece
            self._stamp[slot] = at

    # --- out ------------------------------------------------------------------------------------------------

    def advance(self, n: int, ticks: int) -> None:
        """Ticks that were missed: their audio is never played, so that nothing is played late."""
        self._play[:n] += FRAME_BLOCKS * ticks

    def select(self, n: int, now_ms: float) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """The next frame [n, 160] PCM16 of the first ``n`` rows, and which of them have no audio to show [n]."""
        self._adapt(n, now_ms)
        paused = self._pause[:n] > 0
        base = np.arange(n) * _RING
        first, second = self._play[:n], self._play[:n] + 1
        slot_1, slot_2 = base + first % _RING, base + second % _RING
        got_1 = (self._stamp[slot_1] == first) & ~paused
        got_2 = (self._stamp[slot_2] == second) & ~paused
        code = np.empty((n, FRAME), np.uint8)
        code[:, :BLOCK], code[:, BLOCK:] = self._ring.take(slot_1, axis=0), self._ring.take(slot_2, axis=0)
        pcm = g711.decode(code, self.alaw[:n])
        missing = ~(got_1 & got_2)
        self._concealer.recover(pcm, got_1)
        if missing.any():
            self._fill(pcm, missing, got_1, got_2, now_ms)
        self._concealer.accept(pcm)
        self._play[:n] += np.where(paused, 0, FRAME_BLOCKS)
        if paused.any():
            self.delay_ms[:n] += np.where(paused, FRAME_MS, 0.0)
            self._pause[:n] -= paused
        return pcm, missing & ~self.quiet[:n]

    def _fill(
        self,
        pcm: NDArray[np.int16],
        missing: NDArray[np.bool_],
        got_1: NDArray[np.bool_],
        got_2: NDArray[np.bool_],
        now_ms: float,
    ) -> None:
        """Conceal what is missing of ``pcm`` [n, 160], in place."""
        n = len(pcm)
        running = self.has_source[:n] & ~self.quiet[:n] & (now_ms - self._heard_ms[:n] < _STOPPED_MS)
        running &= self._play[:n] >= self._begin[:n]
        pcm[missing & ~running] = 0
        rows = np.flatnonzero(missing & running)
        if not len(rows):
            return
        self.concealed[rows] += 1
        audio = self._concealer.conceal(rows)
        for part, got in ((slice(0, BLOCK), got_1), (slice(BLOCK, FRAME), got_2)):
            gone = ~got[rows]
            pcm[rows[gone], part] = audio[gone, part]

    def _adapt(self, n: int, now_ms: float) -> None:
        """Move the delay towards its target: a jump when it is far above, a frame now and then in silence."""
        self._learned_ms[:n] -= self._learned_ms[:n] * _WEAR_OFF
        excess = self.delay_ms[:n] - self.target_ms(slice(0, n))  # NaN before the first packet: nothing to do
        far = excess > _HARD_SKIP_MS
        if far.any():
            self._skip(np.flatnonzero(far), np.floor(excess[far] / BLOCK_MS).astype(np.int64))
            excess[far] = 0.0
        over = excess >= BLOCK_MS
        since = self._over_since_ms[:n]
        self._over_since_ms[:n] = np.where(over, np.minimum(since, now_ms), np.inf)
        due = now_ms >= self._next_change_ms[:n]
        shrink = over & due
        if shrink.any():
            self._shrink(np.flatnonzero(shrink), excess, now_ms)
        grow = (excess <= -1.5 * BLOCK_MS) & due & (self._pause[:n] == 0)
        if grow.any():
            self._grow(np.flatnonzero(grow), now_ms)

    def _shrink(self, rows: NDArray[np.intp], excess: NDArray[np.float64], now_ms: float) -> None:
        waited = now_ms - self._over_since_ms[rows]
        forced = (waited >= _FORCE_AFTER_MS) & (excess[rows] >= FRAME_MS)
        rows = rows[forced | self._next_is_silent(rows)]
        if not len(rows):
            return
        self._skip(rows, np.minimum(excess[rows] // BLOCK_MS, FRAME_BLOCKS).astype(np.int64))
        pace = np.where(excess[rows] >= FRAME_MS, _FAST_MS, _SLOW_MS)
        self._next_change_ms[rows] = now_ms + pace

    def _grow(self, rows: NDArray[np.intp], now_ms: float) -> None:
        rows = rows[self._next_is_silent(rows)]
        self._pause[rows] += 1
        self._next_change_ms[rows] = now_ms + _FAST_MS

    def _skip(self, rows: NDArray[np.intp], blocks: NDArray[np.int64]) -> None:
        self._play[rows] += blocks
        self.delay_ms[rows] -= blocks * BLOCK_MS
        self.skipped[rows] += (blocks + 1) // FRAME_BLOCKS

    def _next_is_silent(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether the next frame of ``rows`` [k] holds nothing that would be missed."""
        at = self._play[rows][:, None] + np.arange(FRAME_BLOCKS)
        slot = rows[:, None] * _RING + at % _RING
        code = self._ring[slot].reshape(len(rows), FRAME)
        level = np.abs(g711.decode(code, self.alaw[rows])).mean(axis=1)
        gone = (self._stamp[slot] != at).all(axis=1)
        return np.asarray((level < _SILENT_LEVEL) | gone)
