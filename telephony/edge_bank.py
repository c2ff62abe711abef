"""All legs of one phase of the tick, as arrays: receive, playout, agent audio, send.

Per leg and tick there are two system calls and no Python object; what happens rarely (keys, latching, reports)
is plain code on the ``Leg``.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from telephony.audio import g711
from telephony.edge_queue import AgentQueue
from telephony.edge_receive import SLOTS, BatchReceiver, disconnect, key_address, source_key
from telephony.edge_stats import EdgeStats
from telephony.errors import MediaError
from telephony.link import InBatch, InFlag, encode_in
from telephony.media import LegMedia
from telephony.net.ports import PortPair
from telephony.rtp.dtmf import DtmfReceiver, DtmfSender
from telephony.rtp.latch import LEARN_S, SILENT_S, Latch
from telephony.rtp.packet import COMFORT_NOISE, HEADER_BYTES, Headers, parse_headers
from telephony.rtp.playout import BLOCK, FRAME, MAX_PAYLOAD, Arrivals, Playout, PlayoutLimits

CAPACITY = 1024
"""Legs of one bank. Memory that no leg uses is never touched, so it costs nothing."""
_MAX_ROUNDS = 40  # of SLOTS packets: more than the socket buffer holds
_MAX_PTIME_FRAMES = 3
_PACKET_BYTES = HEADER_BYTES + _MAX_PTIME_FRAMES * FRAME
_NO_PAYLOAD_TYPE = 255
_DTMF_BYTES = HEADER_BYTES + 4


@dataclass(slots=True)
class Leg:
    """What is needed of a leg outside the tick."""

    leg_id: str
    ports: PortPair
    media: LegMedia | None = None
    """``None`` until it is opened."""
    bank: Bank | None = None
    row: int = -1
    link: int = -1
    """Index of its worker's link; -1: none."""
    worker_row: int = -1
    latch: Latch | None = None
    keys_in: DtmfReceiver = field(default_factory=DtmfReceiver)
    keys_out: DtmfSender = field(default_factory=DtmfSender)
    connected: bool = False
    learn_until: float = 0.0
    timed_out: bool = False
    foreign: int = 0
    cname: str = ""
    last_sr: int = 0
    """Middle bits of the peer's last SR, and when it came."""
    last_sr_at: float = 0.0
    rtt_ms: float | None = None
    prior_expected: int = 0
    prior_lost: int = 0
    prior_sent: int = 0


BankEvent = Callable[[Leg, str, dict[str, object]], None]


class Bank:
    """Legs of one phase. ``n`` rows are in use, some of them perhaps empty."""

    def __init__(
        self, phase: int, limits: PlayoutLimits, *, stats: EdgeStats, on_event: BankEvent, rng: random.Random
    ) -> None:
        self.phase = phase
        self._stats = stats
        self._on_event = on_event
        self._rng = rng
        self.legs: list[Leg | None] = []
        self.count = 0
        self.receiver = BatchReceiver(CAPACITY)
        self.playout = Playout(CAPACITY, limits)
        self.queue = AgentQueue(CAPACITY)
        self._rows: list[int] = []
        self._descriptors: list[int] = []
        self._active = np.zeros(CAPACITY, np.bool_)
        self._held = np.zeros(CAPACITY, np.bool_)
        self._codec = np.full(CAPACITY, _NO_PAYLOAD_TYPE, np.int64)
        self._dtmf = np.full(CAPACITY, _NO_PAYLOAD_TYPE, np.int64)
        self._locked = np.zeros(CAPACITY, np.uint64)
        self.last_rx = np.zeros(CAPACITY)
        self.heard = np.zeros(CAPACITY, np.bool_)
        """A packet of the peer has come since the leg was opened."""
        # Sending.
        self._packets = np.zeros((CAPACITY, _PACKET_BYTES), np.uint8)
        self._seq_field = self._packets[:, 2:4].view(">u2")[:, 0]
        self._ts_field = self._packets[:, 4:8].view(">u4")[:, 0]
        self._ssrc_field = self._packets[:, 8:12].view(">u4")[:, 0]
        self._can_send = np.zeros(CAPACITY, np.bool_)
        self._seq = np.zeros(CAPACITY, np.int64)
        self._ts = np.zeros(CAPACITY, np.int64)
        self._frames = np.ones(CAPACITY, np.int64)
        self._filled = np.zeros(CAPACITY, np.int64)
        self._numbers = np.full((CAPACITY, _MAX_PTIME_FRAMES), -1, np.int64)
        """Agent frames in a packet that holds several and is not full yet; -1: something else."""
        self._packet_ts = np.zeros(CAPACITY, np.int64)
        self._spoke = np.zeros(CAPACITY, np.bool_)
        self._longer = False  # some leg sends packets of more than one frame
        self._keys: set[int] = set()
        self.sent = np.zeros(CAPACITY, np.int64)
        self.octets = np.zeros(CAPACITY, np.int64)
        self._views = [memoryview(line) for line in self._packets]  # type: ignore[arg-type]
        self._frame_views = [view[: HEADER_BYTES + FRAME] for view in self._views]
        self._send: list[Callable[[memoryview], int]] = []
        # Routing.
        self._link = np.full(CAPACITY, -1, np.int64)
        self._worker_row = np.zeros(CAPACITY, np.uint16)
        self._first = np.zeros(CAPACITY, np.bool_)

    # --- legs -----------------------------------------------------------------------------------------------

    def open(self, leg: Leg, media: LegMedia, now: float) -> None:
        """Put a leg on a free row. Raises ``MediaError`` when the bank is full."""
        row = next((at for at, other in enumerate(self.legs) if other is None), len(self.legs))
        if row == CAPACITY:
            raise MediaError("the edge is full")
        if row == len(self.legs):
            self.legs.append(None)
            self._send.append(_nowhere)
        leg.bank, leg.row = self, row
        self.legs[row] = leg
        self.count += 1
        self.playout.open(row, alaw=media.codec == "PCMA")
        self.queue.seat_row(row, -1)
        self.queue.underruns[row] = self.queue.dropped[row] = 0
        for counter in (self.sent, self.octets, self._filled):
            counter[row] = 0
        self._seq[row] = self._rng.randrange(1 << 16)
        self._ts[row] = self._rng.randrange(1 << 32)
        self._ssrc_field[row] = self._rng.randrange(1 << 32)
        self._packets[row, 0] = 0x80
        self.heard[row] = self._spoke[row] = False
        self._link[row] = -1
        self._locked[row] = 0
        leg.latch = Latch(media.remote, media.signalling_ip, now)
        self.receiver.attach(leg.ports.rtp)
        _discard_early(leg)
        self.set_media(leg, media, now)
        self._active[row] = True
        self._list_rows()

    def set_media(self, leg: Leg, media: LegMedia, now: float) -> None:
        """What a new SDP says: address, payload types, hold. Sequence, timestamp and playout go on."""
        row, latch = leg.row, leg.latch
        assert latch is not None
        leg.media = media
        leg.learn_until = now + LEARN_S
        leg.timed_out = False
        latch.renew(media.remote, media.signalling_ip, now)
        self.playout.alaw[row] = media.codec == "PCMA"
        self._codec[row] = media.payload_type
        self._dtmf[row] = _NO_PAYLOAD_TYPE if media.dtmf_payload_type is None else media.dtmf_payload_type
        self._held[row] = not (media.send and media.receive)
        self.last_rx[row] = now
        self._frames[row] = media.ptime_ms // 20
        self._filled[row] = 0
        self._longer = bool((self._frames[: len(self.legs)] > 1).any())
        self._aim(leg)

    def close(self, leg: Leg) -> None:
        """Free the row of a leg; its sockets stay open for their rest."""
        row = leg.row
        self._set_connected(leg, None)
        self.legs[row] = None
        self.count -= 1
        self._active[row] = self._can_send[row] = False
        self._link[row] = -1
        self._keys.discard(row)
        self.queue.seat_row(row, -1)
        leg.bank, leg.row = None, -1
        while self.legs and self.legs[-1] is None:
            self.legs.pop()
            self._send.pop()
        self._longer = bool((self._frames[: len(self.legs)] > 1).any())
        self._list_rows()

    def route(self, leg: Leg, link: int, worker_row: int, seat: int) -> None:
        """Exchange audio with a worker's row under claim ``seat``; link -1: with nobody."""
        self._link[leg.row] = link
        self._worker_row[leg.row] = max(worker_row, 0)
        self._first[leg.row] = True
        self._numbers[leg.row] = -1
        self.queue.seat_row(leg.row, seat)

    def push_keys(self, leg: Leg, digits: str) -> None:
        """Send keys. Raises ``LocalProtocolError`` on what is no key."""
        leg.keys_out.push(digits)
        if not leg.keys_out.idle:
            self._keys.add(leg.row)

    def ssrc(self, row: int) -> int:
        return int(self._ssrc_field[row])

    def timestamp(self, row: int) -> int:
        """RTP timestamp of the next frame."""
        return int(self._ts[row])

    def held(self, row: int) -> bool:
        return bool(self._held[row])

    def _list_rows(self) -> None:
        pairs = [(row, leg.ports.rtp.fileno()) for row, leg in enumerate(self.legs) if leg is not None]
        self._rows = [row for row, _ in pairs]
        self._descriptors = [descriptor for _, descriptor in pairs]

    def _aim(self, leg: Leg) -> None:
        """Send to where the latch says that the peer is."""
        latch, media = leg.latch, leg.media
        assert latch is not None
        assert media is not None
        target = latch.target
        self._locked[leg.row] = source_key(latch.locked) if latch.locked else 0
        self._can_send[leg.row] = media.send and target is not None
        self._set_connected(leg, None)
        if target is None:
            self._send[leg.row] = _nowhere
        else:
            sendto = leg.ports.rtp.sendto
            self._send[leg.row] = functools.partial(_send_to, sendto, target)

    def _set_connected(self, leg: Leg, address: tuple[str, int] | None) -> None:
        """A connected socket takes packets from the peer alone, and sends without a route look-up."""
        if address is not None:
            leg.ports.rtp.connect(address)
            leg.connected = True
            self._send[leg.row] = leg.ports.rtp.send
        elif leg.connected:
            disconnect(leg.ports.rtp)
            leg.connected = False

    # --- from the peers -------------------------------------------------------------------------------------

    def receive(self, now: float, wall: float) -> None:
        """Take all that has come on all sockets. ``wall`` is the wall clock at ``now``."""
        rows, descriptors = self._rows, self._descriptors
        for _ in range(_MAX_ROUNDS):
            counts = self.receiver.drain(rows, descriptors)
            if not counts.any():
                return
            lines = np.array(rows, np.intp)
            for packet in range(int(counts.max())):
                got = lines[counts > packet]
                self._take(got, got * SLOTS + packet, now, wall)
            full = np.flatnonzero(counts == SLOTS)
            if not len(full):
                return
            rows, descriptors = [rows[at] for at in full], [descriptors[at] for at in full]

    def _take(self, rows: NDArray[np.intp], slots: NDArray[np.intp], now: float, wall: float) -> None:
        """One packet of each of ``rows`` [k], in ``slots`` [k]."""
        length, sources, arrived = self.receiver.read(slots)
        found = parse_headers(self.receiver.buffer, slots, length)
        kind = found.payload_type
        is_audio = (kind == self._codec[rows]) & (found.size >= BLOCK)
        is_known = is_audio | (kind == self._dtmf[rows]) | (kind == COMFORT_NOISE)
        good = found.ok & is_known
        from_peer = sources == self._locked[rows]
        if not good.all():
            self._stats.invalid += int(len(good) - good.sum())
        stranger = good & ~from_peer
        if stranger.any():
            for at in np.flatnonzero(stranger):
                from_peer[at] = self._meet(int(rows[at]), int(sources[at]), now)
        good &= from_peer
        self.last_rx[rows[good]] = now
        self.heard[rows[good]] = True
        odd = good & ~is_audio
        if odd.any():
            for at in np.flatnonzero(odd):
                self._take_odd(int(rows[at]), int(slots[at]), found, int(at), now)
        audio = good & is_audio
        if audio.any():
            age_ms = np.maximum((wall - arrived) * 1000.0, 0.0)
            self._take_audio(rows, slots, found, age_ms, audio, now)

    def _take_audio(
        self, rows: NDArray[np.intp], slots: NDArray[np.intp], found: Headers, age_ms: NDArray[np.float64],
        audio: NDArray[np.bool_], now: float,
    ) -> None:  # fmt: skip
        if not audio.all():
            rows, slots, age_ms = rows[audio], slots[audio], age_ms[audio]
            offset, size = found.offset[audio], found.size[audio]
            sequence, timestamp, ssrc = found.sequence[audio], found.timestamp[audio], found.ssrc[audio]
        else:
            offset, size = found.offset, found.size
            sequence, timestamp, ssrc = found.sequence, found.timestamp, found.ssrc
        size = np.minimum(size, MAX_PAYLOAD)
        width = int(size.max()) // BLOCK * BLOCK
        start = int(offset[0])
        if (offset == start).all():
            payload = self.receiver.buffer[slots, start : start + width]
        else:
            columns = np.minimum(offset[:, None] + np.arange(width), self.receiver.buffer.shape[1] - 1)
            payload = self.receiver.buffer[slots[:, None], columns]
        arrivals = Arrivals(
            rows=rows, sequence=sequence, timestamp=timestamp, ssrc=ssrc, age_ms=age_ms, size=size, payload=payload
        )
        self.playout.receive(arrivals, now * 1000.0)

    def _meet(self, row: int, key: int, now: float) -> bool:
        """A good packet from an address that is not the locked one."""
        leg = self.legs[row]
        if leg is None or leg.latch is None:
            return False
        source = key_address(key)
        silent_s = now - float(self.last_rx[row])
        if not leg.latch.offer(source, now, silent_s=silent_s):
            leg.foreign += 1
            return False
        self._aim(leg)
        self._on_event(leg, "latched", {"address": f"{source[0]}:{source[1]}"})
        return True

    def _take_odd(self, row: int, slot: int, found: Headers, at: int, now: float) -> None:
        """Keys and comfort noise: both say that there is no audio now, and that none is lost."""
        self.playout.quiet[row] = True
        leg = self.legs[row]
        if leg is None or found.payload_type[at] != self._dtmf[row]:
            return
        start = int(found.offset[at])
        payload = self.receiver.buffer[slot, start : start + int(found.size[at])].tobytes()
        ssrc, timestamp = int(found.ssrc[at]), int(found.timestamp[at])
        key = leg.keys_in.receive(ssrc=ssrc, timestamp=timestamp, payload=payload, now=now)
        if key is not None:
            self._on_event(leg, "dtmf", {"digit": key.digit, "duration_ms": key.duration_ms})

    # --- to the workers -------------------------------------------------------------------------------------

    def select(self, now: float) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        """This tick's frame [n, 160] of every leg, and its flags [n]."""
        n = len(self.legs)
        pcm, missing = self.playout.select(n, now * 1000.0)
        held = self._held[:n]
        flags = np.where(missing, int(InFlag.CONCEALED), 0).astype(np.uint8)
        if held.any():
            pcm[held] = 0
            flags[held] = InFlag.HELD
        return pcm, flags

    def messages(
        self, links: int, tick: int, now: float, pcm: NDArray[np.int16], flags: NDArray[np.uint8]
    ) -> list[tuple[int, bytes]]:
        """One IN message for each worker that has legs here."""
        n = len(self.legs)
        out = []
        for link in range(links):
            rows = np.flatnonzero(self._link[:n] == link)
            if not len(rows):
                continue
            batch = InBatch(
                tick=tick,
                phase=self.phase,
                sent_at=now,
                rows=self._worker_row[rows],
                seats=self.queue.seat[rows].astype(np.uint32),
                flags=flags[rows]
                | np.where(self._first[rows], int(InFlag.FIRST), 0).astype(np.uint8)
                | self.queue.flags(rows),
                played=self.queue.played[rows].astype(np.uint32),
                sent=self.queue.sent[rows].astype(np.uint32),
                taken=self.queue.taken[rows].astype(np.uint32),
                pcm=pcm if len(rows) == n else pcm[rows],
            )
            self._first[rows] = False
            out.append((link, encode_in(batch)))
        return out

    # --- to the peers ---------------------------------------------------------------------------------------

    def send(self) -> None:
        """Send this tick's packet of every leg: agent audio, or silence, or a key."""
        n = len(self.legs)
        can_send = self._can_send[:n]
        popped = self.queue.pop(n, can_send)
        code = g711.encode(popped.pcm, self.playout.alaw[:n])
        ready = can_send
        spurt = popped.speech & ~self._spoke[:n]
        self._spoke[:n] = popped.speech
        if self._longer:
            ready = can_send & self._fill(n, code, popped.frame_no)
        else:
            self._packets[:n, HEADER_BYTES : HEADER_BYTES + FRAME] = code
            self._ts_field[:n] = self._ts[:n]
        fresh = spurt | (self.sent[:n] == 0)
        self._packets[:n, 1] = self._codec[:n] | np.where(fresh, 0x80, 0)
        self._seq_field[:n] = self._seq[:n]
        if self._keys:
            ready = self._send_keys(ready.copy())
        self._note_sent(self._transmit(np.flatnonzero(ready), n), popped.frame_no)
        self._ts[:n] = (self._ts[:n] + FRAME) & 0xFFFFFFFF

    def _transmit(self, rows: NDArray[np.intp], n: int) -> NDArray[np.intp]:
        """Send the packets of ``rows``; those whose packet has left."""
        send, views = self._send, self._frame_views
        octets = FRAME
        if self._longer:
            size = HEADER_BYTES + FRAME * self._frames
            views = [view[: size[row]] for row, view in enumerate(self._views[:n])]
        failed: list[int] = []
        for row in rows.tolist():
            try:
                send[row](views[row])
            except OSError:  # buffer full, or an ICMP error of an earlier packet: this packet is lost
                failed.append(row)
        self._stats.send_errors += len(failed)
        self.sent[rows] += 1
        self.octets[rows] += octets * self._frames[rows]
        self._seq[rows] = (self._seq[rows] + 1) & 0xFFFF
        return rows[~np.isin(rows, failed)] if failed else rows

    def _note_sent(self, rows: NDArray[np.intp], frame_no: NDArray[np.int64]) -> None:
        """The packets of ``rows`` have left: all agent frames in them are on the wire."""
        if not self._longer:
            rows = rows[frame_no[rows] >= 0]
            self.queue.note_sent(rows, frame_no[rows])
            return
        for at in range(_MAX_PTIME_FRAMES):
            held = rows[self._numbers[rows, at] >= 0]
            self.queue.note_sent(held, self._numbers[held, at])
        self._numbers[rows] = -1

    def _fill(self, n: int, code: NDArray[np.uint8], frame_no: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Add a frame to packets that hold several; which are full now [n]."""
        filled = self._filled[:n]
        at = np.arange(n)[:, None], HEADER_BYTES + filled[:, None] * FRAME + np.arange(FRAME)
        self._packets[at] = code
        self._numbers[np.arange(n), filled] = frame_no
        self._packet_ts[:n] = np.where(filled == 0, self._ts[:n], self._packet_ts[:n])
        self._ts_field[:n] = self._packet_ts[:n]
        full = filled + 1 >= self._frames[:n]
        self._filled[:n] = np.where(full, 0, filled + 1)
        return np.asarray(full)

    def _send_keys(self, ready: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Send a key's packet instead of audio where a key is due; who still sends audio [n]."""
        for row in list(self._keys):
            leg = self.legs[row]
            if leg is None or leg.keys_out.idle:
                self._keys.discard(row)
                continue
            event = leg.keys_out.next_packet(int(self._ts[row]))
            if event is None or not self._can_send[row] or self._dtmf[row] == _NO_PAYLOAD_TYPE:
                continue
            ready[row] = False
            view = bytearray(self._views[row][:_DTMF_BYTES])
            view[1] = int(self._dtmf[row]) | (0x80 if event.marker else 0)
            view[2:4] = int(self._seq[row]).to_bytes(2, "big")
            view[4:8] = event.timestamp.to_bytes(4, "big")
            view[HEADER_BYTES:] = event.payload
            try:
                self._send[row](memoryview(view))
            except OSError:
                self._stats.send_errors += 1
            self._seq[row] = (self._seq[row] + 1) & 0xFFFF
            self.sent[row] += 1
            self.octets[row] += len(event.payload)
        return ready

    def skip(self, ticks: int) -> None:
        """Ticks that were missed: media time goes on, their audio is never played."""
        n = len(self.legs)
        self.playout.advance(n, ticks)
        self._ts[:n] = (self._ts[:n] + ticks * FRAME) & 0xFFFFFFFF

    # --- now and then ---------------------------------------------------------------------------------------

    def keep_house(self, now: float) -> None:
        """Connect sockets whose peer is settled; let those whose peer fell silent learn again. A few times a second."""
        silent = now - self.last_rx
        for leg in self.legs:
            if leg is None or leg.latch is None or leg.media is None:
                continue
            locked = leg.latch.locked
            if leg.connected:
                if silent[leg.row] > SILENT_S:
                    self._aim(leg)
            elif locked is not None and silent[leg.row] < SILENT_S:
                settled = locked == leg.media.remote or now > leg.learn_until
                if settled:
                    self._set_connected(leg, locked)


def _nowhere(data: memoryview) -> int:
    return 0


def _send_to(sendto: Callable[..., int], address: tuple[str, int], data: memoryview) -> int:
    return sendto(data, address)


def _discard_early(leg: Leg) -> None:
    """Throw away what came between reserving and opening: old audio is of no use."""
    for _ in range(256):
        try:
            leg.ports.rtp.recv(2048)
        except OSError:
            return
