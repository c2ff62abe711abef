"""Single RTP packets both ways: what a peer sends, and what it reads of ours with the edge's own parser."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from telephony.rtp.packet import HEADER_BYTES, parse_headers

_HEADER = struct.Struct(">BBHII")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False


def build_packet(packet: Packet) -> bytes:
    """Version 2, no padding, no extension, no CSRC."""
    second = packet.payload_type | (0x80 if packet.marker else 0)
    return _HEADER.pack(0x80, second, packet.sequence, packet.timestamp, packet.ssrc) + packet.payload


def parse_packet(data: bytes) -> Packet:
    """One packet; ``ValueError`` where ``parse_headers`` says that it is none."""
    width = max(len(data) + 3 & ~3, HEADER_BYTES)
    buffer = np.zeros((1, width), np.uint8)
    buffer[0, : len(data)] = np.frombuffer(data, np.uint8)
    found = parse_headers(buffer, np.zeros(1, np.intp), np.array([len(data)], np.int64))
    if not found.ok[0]:
        raise ValueError(f"{len(data)} bytes are no RTP packet")
    start = int(found.offset[0])
    return Packet(
        payload_type=int(found.payload_type[0]),
        sequence=int(found.sequence[0]),
        timestamp=int(found.timestamp[0]),
        ssrc=int(found.ssrc[0]),
        payload=data[start : start + int(found.size[0])],
        marker=bool(found.marker[0]),
    )
