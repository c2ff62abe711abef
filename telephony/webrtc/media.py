"""RTP of one peer: packets in to PCM at 8 kHz, PCM out to packets. Time is an argument; codecs are the only state.

Order and loss are settled at arrival: the decoder gets packets in the order of their sequence, a packet that is
missing is made up from the in-band FEC of the next one (RFC 6716 §2.1.7), and one that comes after its successor is
dropped. Timing is the playout's matter (``telephony.stream_playout``), which conceals what never comes: so one loss
adds no lasting delay.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from telephony.audio import g711
from telephony.rtp import rtcp
from telephony.rtp.dtmf import DtmfReceiver, Key
from telephony.rtp.sequence import seq_delta
from telephony.webrtc.opus import FRAME_SAMPLES, OpusDecoder, OpusEncoder
from telephony.webrtc.sdp import AudioFormat

_HEADER = struct.Struct(">BBHII")
_MAX_DROPOUT = 3000  # RFC 3550 App. A.1
_MAX_RECOVERED = 3
"""Frames made up for one gap (60 ms, as G.711 Appendix I has it); the rest of a longer gap stays silent."""
_DTMF_CLOCK_HZ = 8000


@dataclass(slots=True)
class Counters:
    """Of what has come, as ``MediaQuality`` has them."""

    received: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    recovered: int = 0
    """Frames made from FEC or by the decoder's concealment."""
    invalid: int = 0
    jitter_ms: float = 0.0
    rtt_ms: float | None = None


class Decoder(Protocol):
    """A codec on the way in."""

    def decode(self, packet: bytes) -> NDArray[np.int16] | None: ...

    def recover(self, next_packet: bytes, samples: int) -> NDArray[np.int16] | None: ...

    def conceal(self, samples: int) -> NDArray[np.int16] | None: ...

    def close(self) -> None: ...


class G711Decoder:
    """Either law; there is nothing to recover from."""

    def __init__(self, *, alaw: bool) -> None:
        self._decode = g711.alaw_decode if alaw else g711.ulaw_decode

    def decode(self, packet: bytes) -> NDArray[np.int16] | None:
        return self._decode(np.frombuffer(packet, np.uint8))

    def recover(self, next_packet: bytes, samples: int) -> NDArray[np.int16] | None:
        return None

    def conceal(self, samples: int) -> NDArray[np.int16] | None:
        return None

    def close(self) -> None: ...


class Inbound:
    """The caller's packets, decrypted."""

    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio
        self._decoder: Decoder = OpusDecoder() if audio.codec == "opus" else G711Decoder(alaw=audio.codec == "PCMA")
        self._keys = DtmfReceiver()
        self._ssrc: int | None = None
        self._highest = 0
        """Extended highest sequence number of this source."""
        self._first = 0
        self._source_received = 0
        self._lost_before = 0
        self._transit: float | None = None
        self._samples = FRAME_SAMPLES
        """Of the last packet: how long a missing one is taken to have been."""
        self._last_sr = (0, 0.0)
        self._prior = (0, 0)
        self.counters = Counters()

    def receive(self, data: bytes, now: float) -> list[NDArray[np.int16]] | Key | None:
        """One packet: the audio that it brings, oldest first, or the key that it tells; nothing for neither."""
        found = _parse(data)
        if found is None:
            self.counters.invalid += 1
            return None
        payload_type, sequence, timestamp, ssrc, payload = found
        if payload_type == self._audio.dtmf_payload_type:
            self._count(ssrc, sequence)
            return self._keys.receive(ssrc=ssrc, timestamp=timestamp, payload=self._scaled(payload), now=now)
        if payload_type != self._audio.payload_type or not payload:
            self.counters.invalid += 1
            return None
        ahead = self._count(ssrc, sequence)
        self._measure_jitter(timestamp, now)
        return self._decode(payload, ahead) if ahead > 0 else None

    def _count(self, ssrc: int, sequence: int) -> int:
        """How far the packet is ahead of all before: 1 is the next one, less than 1 has been overtaken."""
        counters = self.counters
        counters.received += 1
        if ssrc != self._ssrc:
            self._restart(ssrc, sequence)
            return 1
        delta = seq_delta(sequence, self._highest & 0xFFFF)
        if abs(delta) > _MAX_DROPOUT:
            self._restart(ssrc, sequence)
            return 1
        self._source_received += 1
        if delta > 0:
            self._highest += delta
        elif delta == 0:
            counters.duplicate += 1
        else:
            counters.late += 1
        counters.lost = self._lost_before + max(0, self._expected - self._source_received)
        return delta

    @property
    def _expected(self) -> int:
        return self._highest - self._first + 1

    def _restart(self, ssrc: int, sequence: int) -> None:
        if self._ssrc is not None:
            self._lost_before += max(0, self._expected - self._source_received)
        self._ssrc, self._highest, self._first = ssrc, sequence, sequence
        self._source_received, self._transit, self._prior = 1, None, (0, 0)

    def _measure_jitter(self, timestamp: int, now: float) -> None:
        """RFC 3550 §6.4.1, in ms."""
        transit = now * 1000.0 - timestamp * 1000.0 / self._audio.clock_hz
        if self._transit is not None and abs(transit - self._transit) < 1000.0:  # more: the timestamp has wrapped
            self.counters.jitter_ms += (abs(transit - self._transit) - self.counters.jitter_ms) / 16.0
        self._transit = transit

    def _decode(self, payload: bytes, ahead: int) -> list[NDArray[np.int16]]:
        pieces = []
        if 1 < ahead <= 1 + _MAX_RECOVERED:
            for missing in range(ahead - 1, 0, -1):
                if missing > 1:
                    made_up = self._decoder.conceal(self._samples)
                else:
                    made_up = self._decoder.recover(payload, self._samples)
                if made_up is not None:
                    self.counters.recovered += 1
                    pieces.append(made_up.copy())
        pcm = self._decoder.decode(payload)
        if pcm is None:
            self.counters.invalid += 1
        else:
            self._samples = len(pcm)
            pieces.append(pcm)
        return pieces

    def _scaled(self, payload: bytes) -> bytes:
        """A telephone event whose duration is in 1/8000 s, whatever clock it came on."""
        if self._audio.clock_hz == _DTMF_CLOCK_HZ or len(payload) < 4:
            return payload
        event, flags, duration = struct.unpack_from(">BBH", payload)
        return struct.pack(">BBH", event, flags, duration * _DTMF_CLOCK_HZ // self._audio.clock_hz)

    def report(self, now: float) -> tuple[rtcp.ReportBlock, ...]:
        """What our next RTCP report says of this source."""
        if self._ssrc is None:
            return ()
        lost = max(0, self._expected - self._source_received)
        new_expected, new_lost = self._expected - self._prior[0], max(0, lost - self._prior[1])
        self._prior = (self._expected, lost)
        stamp, came_at = self._last_sr
        return (
            rtcp.ReportBlock(
                ssrc=self._ssrc,
                fraction_lost=min(255, 256 * new_lost // new_expected) if new_expected > 0 else 0,
                lost=lost,
                highest_sequence=self._highest & 0xFFFFFFFF,
                jitter=int(self.counters.jitter_ms * self._audio.clock_hz / 1000),
                last_sr=stamp,
                delay_since_sr=int((now - came_at) * 65536) & 0xFFFFFFFF if stamp else 0,
            ),
        )

    def take_report(self, data: bytes, our_ssrc: int, now: float, wall: float) -> None:
        """RTCP of the peer, decrypted."""
        compound = rtcp.parse_compound(data)
        for report in compound.reports if compound else ():
            if report.ntp is not None:
                self._last_sr = (rtcp.middle(report.ntp), now)
            for block in report.blocks:
                if block.ssrc == our_ssrc and (rtt_ms := rtcp.round_trip_ms(block, rtcp.ntp_time(wall))) is not None:
                    self.counters.rtt_ms = rtt_ms

    def close(self) -> None:
        self._decoder.close()


class Outbound:
    """Our packets, before they are encrypted: one per 20 ms, silence too."""

    def __init__(self, audio: AudioFormat, *, ssrc: int, sequence: int, timestamp: int, complexity: int = 5) -> None:
        self._audio = audio
        self._opus = OpusEncoder(complexity=complexity) if audio.codec == "opus" else None
        self._encode = g711.alaw_encode if audio.codec == "PCMA" else g711.ulaw_encode
        self._step = audio.clock_hz // 50
        self._sequence, self._timestamp = sequence, timestamp
        self.ssrc = ssrc
        self.packets = self.octets = 0

    def packet(self, pcm: NDArray[np.int16]) -> bytes:
        """The next 20 ms ``[160]``."""
        pcm = np.ascontiguousarray(pcm)
        payload = self._encode(pcm).tobytes() if self._opus is None else self._opus.encode(pcm)
        second = self._audio.payload_type | (0x80 if self.packets == 0 else 0)
        head = _HEADER.pack(0x80, second, self._sequence, self._timestamp, self.ssrc)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + self._step) & 0xFFFFFFFF
        self.packets += 1
        self.octets += len(payload)
        return head + payload

    def report(self, wall: float, blocks: tuple[rtcp.ReportBlock, ...], cname: str, *, bye: bool = False) -> bytes:
        """A sender report with what we have received."""
        report = rtcp.Report(
            ssrc=self.ssrc,
            ntp=rtcp.ntp_time(wall),
            rtp_timestamp=self._timestamp,
            packets=self.packets,
            octets=self.octets,
            blocks=blocks,
        )
        return rtcp.build_report(report, cname, bye=bye)

    def close(self) -> None:
        if self._opus is not None:
            self._opus.close()


def _parse(data: bytes) -> tuple[int, int, int, int, bytes] | None:
    """Payload type, sequence, timestamp, SSRC and payload (RFC 3550 §5.1); ``None`` for what is no RTP packet."""
    size = len(data)
    if size < _HEADER.size:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        return None
    start = _HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:
        if start + 4 > size:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    end = size
    if first & 0x20:
        end -= data[-1]
        if data[-1] == 0:
            return None
    if start > end:
        return None
    return second & 0x7F, sequence, timestamp, ssrc, data[start:end]
