"""RTP as capture files, for sipp to play: sipp rewrites addresses and keeps everything inside RTP as it is."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from telephony.audio.g711 import ulaw_encode

FRAME_SAMPLES = 160
SSRC = 0x5EED5EED
FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
"""Ethernet frames, microsecond stamps."""
EVENT_TYPE = 101
END_COPIES = 3

Packet = tuple[int, bytes]
"""(milliseconds from the start, RTP packet)"""


def rtp(sequence: int, timestamp: int, payload: bytes, *, payload_type: int = 0, marker: bool = False) -> bytes:
    mark = 0x80 if marker else 0
    return struct.pack("!BBHII", 0x80, mark | payload_type, sequence & 0xFFFF, timestamp, SSRC) + payload


def audio_packets(pcm: NDArray[np.int16], *, sequence: int = 1, timestamp: int = 0) -> Iterator[Packet]:
    """PCMU, 20 ms a packet."""
    codes = ulaw_encode(pcm).tobytes()
    for n in range(len(codes) // FRAME_SAMPLES):
        payload = codes[n * FRAME_SAMPLES : (n + 1) * FRAME_SAMPLES]
        yield n * 20, rtp(sequence + n, timestamp + n * FRAME_SAMPLES, payload, marker=n == 0)


def key_packets(code: int, *, sequence: int, timestamp: int, frames: int = 8) -> Iterator[Packet]:
    """One key (RFC 4733): one timestamp, a growing duration, its end three times."""
    for n in range(frames + END_COPIES - 1):
        count = min(n + 1, frames)
        event = struct.pack("!BBH", code, (0x80 if count == frames else 0) | 10, count * FRAME_SAMPLES)
        yield n * 20, rtp(sequence + n, timestamp, event, payload_type=EVENT_TYPE, marker=n == 0)


def write_pcap(path: Path, packets: Iterable[Packet]) -> None:
    with path.open("wb") as out:
        out.write(FILE_HEADER)
        for at_ms, packet in packets:
            udp = struct.pack("!HHHH", 4000, 4002, 8 + len(packet), 0) + packet
            ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\1")
            frame = b"\0" * 12 + b"\x08\0" + ip + udp
            out.write(struct.pack("<IIII", at_ms // 1000, at_ms % 1000 * 1000, len(frame), len(frame)) + frame)
