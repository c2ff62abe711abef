"""RTCP (RFC 3550 §6): compound reports with CNAME out, reports and BYE in, round trip time."""

from __future__ import annotations

import struct
from dataclasses import dataclass

SR, RR, SDES, BYE = 200, 201, 202, 203
INTERVAL_S = 5.0
"""Mean time between reports; each is drawn from half to one and a half of it (§6.2)."""

_NTP_EPOCH_S = 2_208_988_800  # from 1900 to 1970
_BLOCK = struct.Struct(">IIIIII")
_SENDER = struct.Struct(">IIIIII")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportBlock:
    """What a receiver says of one source (§6.4.1)."""

    ssrc: int
    fraction_lost: int
    """In 1/256, since the last report."""
    lost: int
    highest_sequence: int
    jitter: int
    """In samples."""
    last_sr: int
    """Middle 32 bits of the NTP time of the last SR seen, 0 if none."""
    delay_since_sr: int
    """In 1/65536 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One SR or RR; the sender's fields are ``None`` in an RR."""

    ssrc: int
    ntp: int | None
    """64-bit NTP time."""
    rtp_timestamp: int | None
    packets: int | None
    octets: int | None
    blocks: tuple[ReportBlock, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compound:
    """What one RTCP datagram says."""

    reports: tuple[Report, ...] = ()
    byes: tuple[int, ...] = ()
    """SSRCs that have left."""


def ntp_time(wall_s: float) -> int:
    """Seconds since 1970 as a 64-bit NTP time."""
    return int((wall_s + _NTP_EPOCH_S) * (1 << 32))


def middle(ntp: int) -> int:
    """The 32 bits of an NTP time that LSR carries: units of 1/65536 s."""
    return (ntp >> 16) & 0xFFFFFFFF


def build_report(report: Report, cname: str, *, bye: bool = False) -> bytes:
    """A compound of SR (or RR), SDES and, at the end of a leg, BYE."""
    blocks = b"".join(_pack_block(block) for block in report.blocks)
    count = len(report.blocks)
    if report.ntp is None:
        out = _packet(RR, count, struct.pack(">I", report.ssrc) + blocks)
    else:
        sender = _SENDER.pack(
            report.ssrc, report.ntp >> 32, report.ntp & 0xFFFFFFFF,
            report.rtp_timestamp or 0, report.packets or 0, report.octets or 0,
        )  # fmt: skip
        out = _packet(SR, count, sender + blocks)
    name = cname.encode()
    item = struct.pack(">IBB", report.ssrc, 1, len(name)) + name
    out += _packet(SDES, 1, item + b"\0" * (4 - len(item) % 4))
    return out + (_packet(BYE, 1, struct.pack(">I", report.ssrc)) if bye else b"")


def parse_compound(data: bytes) -> Compound | None:
    """The reports and BYEs of one datagram; ``None`` if it is not well-formed RTCP (App. A.2)."""
    reports: list[Report] = []
    byes: list[int] = []
    at = 0
    while at < len(data):
        if len(data) - at < 4:
            return None
        first, kind, words = struct.unpack_from(">BBH", data, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2 or end > len(data) or not 192 <= kind <= 223:
            return None
        body, count = data[at + 4 : end], first & 0x1F
        if kind in (SR, RR):
            report = _parse_report(kind, count, body)
            if report is None:
                return None
            reports.append(report)
        elif kind == BYE and len(body) >= 4 * count:
            byes.extend(struct.unpack_from(f">{count}I", body))
        at = end
    return Compound(reports=tuple(reports), byes=tuple(byes)) if data else None


def round_trip_ms(block: ReportBlock, now_ntp: int) -> float | None:
    """Round trip time by §6.4.1, Figure 2; ``None`` if the peer has seen no SR or the fields make no sense."""
    if block.last_sr == 0:
        return None
    units = (middle(now_ntp) - block.last_sr - block.delay_since_sr) & 0xFFFFFFFF
    return units * 1000.0 / 65536.0 if units < 0x80000000 and units < 65536 * 60 else None


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0x80 | count, kind, len(body) // 4) + body


def _pack_block(block: ReportBlock) -> bytes:
    lost = max(-0x800000, min(0x7FFFFF, block.lost)) & 0xFFFFFF
    return _BLOCK.pack(
        block.ssrc, block.fraction_lost << 24 | lost, block.highest_sequence & 0xFFFFFFFF,
        block.jitter, block.last_sr, block.delay_since_sr,
    )  # fmt: skip


def _parse_report(kind: int, count: int, body: bytes) -> Report | None:
    head = _SENDER.size if kind == SR else 4
    if len(body) < head + count * _BLOCK.size:
        return None
    blocks = tuple(_parse_block(body, head + n * _BLOCK.size) for n in range(count))
    if kind == RR:
        (ssrc,) = struct.unpack_from(">I", body)
        return Report(ssrc=ssrc, ntp=None, rtp_timestamp=None, packets=None, octets=None, blocks=blocks)
    ssrc, high, low, timestamp, packets, octets = _SENDER.unpack_from(body)
    ntp = high << 32 | low
    return Report(ssrc=ssrc, ntp=ntp, rtp_timestamp=timestamp, packets=packets, octets=octets, blocks=blocks)


def _parse_block(body: bytes, at: int) -> ReportBlock:
    ssrc, loss, highest, jitter, last_sr, delay = _BLOCK.unpack_from(body, at)
    lost = (loss & 0xFFFFFF) - (0x1000000 if loss & 0x800000 else 0)
    return ReportBlock(
        ssrc=ssrc, fraction_lost=loss >> 24, lost=lost, highest_sequence=highest,
        jitter=jitter, last_sr=last_sr, delay_since_sr=delay,
    )  # fmt: skip
