from __future__ import annotations

import numpy as np
import pytest

from telephony.rtp.packet import parse_headers
from tests.unit.telephony.rtp.wire import Packet, build_packet, parse_packet

PACKET = Packet(payload_type=0, sequence=65535, timestamp=4294967136, ssrc=0xDEADBEEF, payload=b"\x55" * 160)


def test_a_built_packet_is_parsed_back() -> None:
    assert parse_packet(build_packet(PACKET)) == PACKET


def test_csrc_extension_and_padding_are_not_payload() -> None:
    head = bytes([0x80 | 0x20 | 0x10 | 2, 0x80 | 101]) + build_packet(PACKET)[2:12]
    extension = b"\xbe\xde\x00\x01" + b"\x10\xaa\x00\x00"
    got = parse_packet(head + b"csr1csr2" + extension + b"payload" + b"\x00\x00\x03")
    assert (got.payload, got.payload_type, got.marker) == (b"payload", 101, True)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (build_packet(PACKET)[:11], "shorter than a header"),
        (b"\x40" + build_packet(PACKET)[1:], "version 1"),
        (b"\x8f" + build_packet(PACKET)[1:40], "CSRCs beyond the end"),
        (b"\x90" + build_packet(PACKET)[1:12] + b"\x00\x00\xff\xff", "extension beyond the end"),
        (b"\xa0" + build_packet(PACKET)[1:12] + b"abc\xff", "padding beyond the start"),
        (b"\xa0" + build_packet(PACKET)[1:12] + b"abc\x00", "padding of nothing"),
    ],
)
def test_broken_packets_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match="no RTP packet"):
        parse_packet(data)


def test_one_broken_packet_does_not_spoil_its_batch() -> None:
    good = build_packet(PACKET)
    buffer = np.zeros((3, 320), np.uint8)
    for line, data in enumerate((good, b"\x00" * 20, b"\x90" + good[1:])):
        buffer[line, : len(data)] = np.frombuffer(data, np.uint8)
    found = parse_headers(buffer, np.array([0, 1, 2]), np.array([172, 20, 172]))
    assert found.ok.tolist() == [True, False, False]
    assert (found.sequence[0], found.timestamp[0], found.ssrc[0]) == (65535, 4294967136, 0xDEADBEEF)
