from __future__ import annotations

import random
import struct

import pytest

from telephony.errors import LocalProtocolError
from telephony.rtp.dtmf import KEYS, DtmfReceiver, DtmfSender, EventPacket, Key


def sent_packets(digits: str, *, ticks: int = 200) -> list[tuple[int, EventPacket]]:
    sender = DtmfSender()
    sender.push(digits)
    out = []
    for tick in range(ticks):
        packet = sender.next_packet(tick * 160)
        if packet is not None:
            out.append((tick, packet))
    assert sender.idle
    return out


def receive(packets: list[tuple[int, EventPacket]], receiver: DtmfReceiver | None = None) -> str:
    receiver = receiver or DtmfReceiver()
    keys = [
        receiver.receive(ssrc=1, timestamp=packet.timestamp, payload=packet.payload, now=tick * 0.02)
        for tick, packet in packets
    ]
    return "".join(key.digit for key in keys if key is not None)


def test_a_key_is_marked_grows_and_ends_three_times() -> None:
    packets = [packet for _, packet in sent_packets("5")]
    events = [struct.unpack(">BBH", packet.payload) for packet in packets]
    assert [packet.marker for packet in packets] == [True] + [False] * 6
    assert {packet.timestamp for packet in packets} == {0}
    assert [duration for _, _, duration in events] == [160, 320, 480, 640, 800, 800, 800]
    assert [bool(flags & 0x80) for _, flags, _ in events] == [False] * 4 + [True] * 3


def test_every_key_arrives_once_and_in_order() -> None:
    assert receive(sent_packets(KEYS)) == KEYS


def test_the_same_key_twice_is_two_keys() -> None:
    assert receive(sent_packets("11")) == "11"


@pytest.mark.parametrize("kept", range(7))
def test_any_single_packet_of_a_key_is_enough(kept: int) -> None:
    assert receive([sent_packets("#")[kept]]) == "#"


def test_ten_thousand_keys_with_two_percent_loss_are_neither_doubled_nor_missed() -> None:
    rng = random.Random(2)
    receiver, got, digits = DtmfReceiver(), "", ""
    for at in range(10_000):
        digit = rng.choice(KEYS)
        digits += digit
        for step in range(7):
            if rng.random() >= 0.02:
                payload = struct.pack(">BBH", KEYS.index(digit), 0x80 if step >= 4 else 0, 160 * min(step + 1, 5))
                key = receiver.receive(ssrc=1, timestamp=at * 1600, payload=payload, now=at * 0.2)
                got += key.digit if key else ""
    assert got == digits


def test_a_late_packet_of_an_earlier_key_is_not_a_new_one() -> None:
    packets = sent_packets("12")
    assert receive([*packets, packets[0]]) == "12"


def test_a_key_held_for_long_is_one_key_although_its_timestamp_changes() -> None:
    receiver = DtmfReceiver()
    pieces = [(0, 0xFFFF, 0), (0xFFFF, 160, 0), (0xFFFF, 320, 0x80)]
    keys = [
        receiver.receive(ssrc=1, timestamp=at, payload=struct.pack(">BBH", 3, flags, duration), now=float(n))
        for n, (at, duration, flags) in enumerate(pieces)
    ]
    assert keys == [Key(digit="3", duration_ms=8191), None, None]


def test_what_is_no_key_is_ignored() -> None:
    receiver = DtmfReceiver()
    assert receiver.receive(ssrc=1, timestamp=0, payload=b"\x01\x02", now=0.0) is None
    assert receiver.receive(ssrc=1, timestamp=0, payload=struct.pack(">BBH", 16, 0, 160), now=0.0) is None  # flash


def test_only_keys_can_be_sent() -> None:
    with pytest.raises(LocalProtocolError, match="are keys"):
        DtmfSender().push("12x")
