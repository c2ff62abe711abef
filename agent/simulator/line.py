"""One caller's RTP endpoint: its own socket, its own clock, every packet in both directions on record.

A line belongs to the media thread from ``start`` to ``finished``. Arrival times come from the kernel where it gives
them (Linux), so that a late thread does not make the agent look late.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.simulator.clips import PACKET_SAMPLES, scaled
from agent.simulator.ear import Ear
from agent.simulator.energy import RATE_HZ, Pcm
from agent.simulator.network import CLEAN, NetworkProfile, Wire
from agent.simulator.performer import FRAME_S, Frame, Performer, spoken
from agent.simulator.recording import PacketTrack, empty_track
from agent.simulator.script import Background, Echo
from telephony.audio.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from telephony.media import LegMedia

SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
_TIMESPEC = struct.Struct("@qq")
_RTP = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")
HEADER_BYTES = 12
MARKER = 0x80
KEY_CODES = {key: code for code, key in enumerate("0123456789*#ABCD")}
KEY_VOLUME = 10
END_COPIES = 3
RECEIVE_LIMIT = 64
"""Packets taken per turn: a flood must not hold up the other lines."""
PACING_S = 0.005
CATCH_UP_S = 0.2
"""A caller that is later than this skips frames instead of sending a burst."""

Deliver = Callable[[float, bytes, tuple[str, int]], None]
"""(when, datagram, destination): send later, from this line's socket."""


def monotonic_minus_realtime() -> float:
    """Offset from the kernel's receive stamps to the monotonic clock."""
    best, offset = float("inf"), 0.0
    for _ in range(5):
        before, wall, after = time.monotonic(), time.time(), time.monotonic()
        if after - before < best:
            best, offset = after - before, (before + after) / 2 - wall
    return offset


@dataclass(slots=True)
class Pacing:
    """How well the caller kept its own schedule."""

    packets: int = 0
    late: int = 0
    worst_s: float = 0.0
    skipped: int = 0

    @property
    def is_good(self) -> bool:
        """Within 5 ms for 99.9 % of the packets; else the run is void."""
        return self.packets > 0 and self.late <= self.packets * 0.001 and not self.skipped


@dataclass(slots=True)
class _Pressed:
    """A key that is being sent (RFC 4733 §2.5)."""

    code: int
    timestamp: int
    packets: int
    sent: int = 0
    ends: int = 0


@dataclass(slots=True)
class _Room:
    """What the microphone picks up besides the caller."""

    noise: Pcm | None = None
    noise_at: int = 0
    echo_db: float | None = None
    echo_delay_s: float = 0.0
    ring: Pcm = field(default_factory=lambda: np.zeros(4 * RATE_HZ, np.int16))
    written: int = 0


class Line:
    """RTP of one call. All times that leave it are seconds from the recording's start."""

    def __init__(
        self,
        performer: Performer,
        *,
        profile: NetworkProfile = CLEAN,
        noises: Mapping[tuple[str, float], Pcm] | None = None,
        host: str = "127.0.0.1",
        rng: np.random.Generator | None = None,
    ) -> None:
        self.performer = performer
        self.pacing = Pacing()
        self.ear = Ear()
        self.on_finished: Callable[[], None] | None = None
        """Called once from the media thread when the caller hangs up."""
        self.socket = _media_socket(host)
        self.kernel_stamps = _ask_for_stamps(self.socket)
        self.profile = profile
        self._out, self._in = Wire(profile, direction=0), Wire(profile, direction=1)
        self._noises = noises or {}
        rng = rng or np.random.default_rng()
        self._sequence = int(rng.integers(0, 2**16))
        self._timestamp = int(rng.integers(0, 2**32))
        self._ssrc = int(rng.integers(1, 2**32))
        self._media: LegMedia | None = None
        self._alaw = False
        self._silence = b"\xff" * PACKET_SAMPLES
        self._room = _Room()
        self._pressed: _Pressed | None = None
        self._received: list[tuple[float, bytes]] = []
        self._sent: list[bytes] = []
        self._offset = 0.0
        self._first = True
        self.started_at = 0.0
        """Monotonic time of sample 0 of the recording."""
        self.frames = 0
        self.finished = False

    @property
    def port(self) -> int:
        port: int = self.socket.getsockname()[1]
        return port

    # --- life ---

    def start(self, media: LegMedia, now: float) -> None:
        """The call is answered. The first packet leaves at ``now`` + 20 ms."""
        self._media, self._alaw = media, media.codec == "PCMA"
        self.ear.use_alaw(self._alaw)
        self._silence = (b"\xd5" if self._alaw else b"\xff") * PACKET_SAMPLES
        self._offset = monotonic_minus_realtime()
        self.started_at = now

    def change(self, media: LegMedia) -> None:
        """The peer moved its media, or holds us."""
        self._media = media

    def due(self) -> float:
        """Monotonic time at which the next frame has been spoken."""
        return self.started_at + (self.frames + 1) * FRAME_S

    def tick(self, now: float, deliver: Deliver) -> None:
        """Take what came, send one frame. ``now`` is monotonic and at or after ``due()``."""
        self.drain(now)
        if now - self.due() > CATCH_UP_S:
            missed = int((now - self.due()) / FRAME_S)
            self.pacing.skipped += missed
            self._sent.extend([self._silence] * missed)
            self.frames += missed
            self._sequence, self._timestamp = self._sequence + missed, self._timestamp + missed * PACKET_SAMPLES
        sent_at = time.monotonic()
        self.pacing.packets += 1
        late = sent_at - self.due()
        self.pacing.late += late > PACING_S
        self.pacing.worst_s = max(self.pacing.worst_s, late)
        frame = self.performer.frame(sent_at - self.started_at, self.ear)
        self.frames += 1
        if frame.hang_up:
            self._finish()
            return
        self._send(frame, sent_at, deliver)

    def _finish(self) -> None:
        self.finished = True
        if self.on_finished is not None:
            self.on_finished()

    def close(self) -> None:
        self.socket.close()

    # --- sending ---

    def _send(self, frame: Frame, now: float, deliver: Deliver) -> None:
        media = self._media
        if frame.change is not None:
            self._change_room(frame.change)
        code = self._code(frame)
        self._sent.append(code)
        if frame.key and self._pressed is None:
            packets = max(2, round(frame.key_ms / 20))
            self._pressed = _Pressed(KEY_CODES[frame.key], self._timestamp, packets)
        if media is not None and media.remote is not None and media.send:
            self._transmit(self._packet(code, media), now, deliver, media.remote)
        self._sequence += 1
        self._timestamp += PACKET_SAMPLES

    def _packet(self, code: bytes, media: LegMedia) -> bytes:
        pressed = self._pressed
        if pressed is None or media.dtmf_payload_type is None:
            mark = MARKER if self._first else 0
            self._first = False
            return self._head(mark | media.payload_type, self._timestamp) + code
        first = pressed.sent == 0
        pressed.sent += 1
        ending = pressed.sent >= pressed.packets
        duration = min(pressed.sent, pressed.packets) * PACKET_SAMPLES
        pressed.ends += ending
        if pressed.ends >= END_COPIES:
            self._pressed = None
        head = self._head((MARKER if first else 0) | media.dtmf_payload_type, pressed.timestamp)
        return head + _EVENT.pack(pressed.code, (0x80 if ending else 0) | KEY_VOLUME, duration)

    def _head(self, mark_and_type: int, timestamp: int) -> bytes:
        return _RTP.pack(0x80, mark_and_type, self._sequence & 0xFFFF, timestamp & 0xFFFFFFFF, self._ssrc)

    def _transmit(self, packet: bytes, now: float, deliver: Deliver, remote: tuple[str, int]) -> None:
        for at in self._out.arrivals(now):
            if at <= now:
                self.send_now(packet, remote)
            else:
                deliver(at, packet, remote)

    def send_now(self, packet: bytes, remote: tuple[str, int]) -> None:
        try:
            self.socket.sendto(packet, remote)
        except OSError:
            self.pacing.skipped += 1  # a full or refused socket: this packet never left, so the run is void

    def _code(self, frame: Frame) -> bytes:
        """The frame as G.711 bytes; clips without a noisy room are encoded once."""
        room = self._room
        if room.noise is None and room.echo_db is None:
            if frame.clip is None:
                return self._silence
            whole = frame.clip.code(alaw=self._alaw)
            return whole[frame.index * PACKET_SAMPLES : (frame.index + 1) * PACKET_SAMPLES]
        mixed = np.zeros(PACKET_SAMPLES, np.int32)
        said = spoken(frame)
        if said is not None:
            mixed += said
        if room.noise is not None:
            mixed += np.take(room.noise, np.arange(room.noise_at, room.noise_at + PACKET_SAMPLES), mode="wrap")
            room.noise_at = (room.noise_at + PACKET_SAMPLES) % len(room.noise)
        if room.echo_db is not None:
            mixed += self._echo()
        return self._encode(np.clip(mixed, -32768, 32767).astype(np.int16))

    def _encode(self, pcm: NDArray[np.int16]) -> bytes:
        return (alaw_encode(pcm) if self._alaw else ulaw_encode(pcm)).tobytes()

    # --- the room ---

    def _change_room(self, change: Background | Echo) -> None:
        if isinstance(change, Echo):
            self._room.echo_db, self._room.echo_delay_s = change.level_db, change.delay_ms / 1000
        else:
            self._room.noise = self._noises.get((change.kind, change.snr_db))

    def _echo(self) -> Pcm:
        """What the loudspeaker played ``delay`` ago, taken out of the ring once."""
        room = self._room
        at = self.frames * PACKET_SAMPLES % len(room.ring)
        heard = room.ring[at : at + PACKET_SAMPLES].copy()
        room.ring[at : at + PACKET_SAMPLES] = 0
        return scaled(heard, room.echo_db or 0.0)

    def _loudspeaker(self, at: float, payload: bytes) -> None:
        room = self._room
        codes = np.frombuffer(payload, np.uint8)
        pcm = alaw_decode(codes) if self._alaw else ulaw_decode(codes)
        start = round((at + room.echo_delay_s) * RATE_HZ)
        # Packets of one spurt lie end to end, whatever their jitter.
        start = room.written if abs(start - room.written) < RATE_HZ // 8 else start
        room.written = start + len(pcm)
        np.put(room.ring, np.arange(start, start + len(pcm)), pcm, mode="wrap")

    # --- receiving ---

    def drain(self, now: float) -> None:
        """Take every packet that waits."""
        for _ in range(RECEIVE_LIMIT):
            try:
                data, ancillary, _flags, _source = self.socket.recvmsg(2048, 64)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error of an earlier send; the packets behind it still come
            stamp = _stamp(ancillary)
            arrived = now if stamp is None else stamp + self._offset
            self._take(arrived, data)

    def _take(self, arrived: float, data: bytes) -> None:
        media = self._media
        if media is None or len(data) <= HEADER_BYTES or data[1] & 0x7F != media.payload_type:
            return
        for at in self._in.arrivals(arrived):
            since = at - self.started_at
            self._received.append((since, data))
            payload = data[HEADER_BYTES:]
            self.ear.hear(since, payload)
            if self._room.echo_db is not None:
                self._loudspeaker(since, payload)

    # --- afterwards ---

    def sent_pcm(self) -> Pcm:
        """(samples,) int16 of everything sent, sample 0 at the recording's start."""
        codes = np.frombuffer(b"".join(self._sent), np.uint8)
        return alaw_decode(codes) if self._alaw else ulaw_decode(codes)

    @property
    def is_alaw(self) -> bool:
        return self._alaw

    def track(self) -> PacketTrack:
        """Everything received, in order of arrival."""
        if not self._received:
            return empty_track()
        rows = sorted(self._received, key=lambda row: row[0])
        heads = np.frombuffer(b"".join(data[:HEADER_BYTES] for _, data in rows), np.uint8).reshape(-1, HEADER_BYTES)
        sizes = np.array([len(data) - HEADER_BYTES for _, data in rows], np.int64)
        wide = heads.astype(np.int64)
        return PacketTrack(
            arrival_s=np.array([at for at, _ in rows]),
            sequence=wide[:, 2] << 8 | wide[:, 3],
            timestamp=wide[:, 4] << 24 | wide[:, 5] << 16 | wide[:, 6] << 8 | wide[:, 7],
            marker=heads[:, 1] >= MARKER,
            offset=np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int64),
            size=sizes,
            data=np.frombuffer(b"".join(data[HEADER_BYTES:] for _, data in rows), np.uint8),
        )


def _media_socket(host: str) -> socket.socket:
    """A socket on an even port (some gateways misroute odd ones)."""
    while True:
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        found.bind((host, 0))
        if found.getsockname()[1] % 2 == 0:
            found.setblocking(False)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
            return found
        found.close()


def _ask_for_stamps(sock: socket.socket) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> float | None:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return float(seconds) + float(nanoseconds) * 1e-9
    return None
