"""Properties of the RTP core: whatever comes, in whatever order."""

from __future__ import annotations

import contextlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.rtp import rtcp, sequence
from telephony.rtp.playout import FRAME, Arrivals, Playout, PlayoutLimits
from tests.unit.telephony.rtp.wire import Packet, build_packet, parse_packet

FEW = settings(max_examples=60, deadline=None)

SEQUENCES = st.integers(0, 0xFFFF)
WORDS = st.integers(0, 0xFFFFFFFF)


@FEW
@given(start=SEQUENCES, steps=st.integers(-32768, 32767))
def test_sequence_steps_are_found_again_across_the_wrap(start: int, steps: int) -> None:
    later = (start + steps) % 2**16
    assert sequence.seq_delta(later, start) == steps
    got = sequence.seq_deltas(np.array([later]), np.array([start]))
    assert got.tolist() == [steps]


@FEW
@given(start=WORDS, samples=st.integers(-(2**31), 2**31 - 1))
def test_timestamp_distances_are_found_again_across_the_wrap(start: int, samples: int) -> None:
    got = sequence.ts_deltas(np.array([(start + samples) % 2**32]), np.array([start]))
    assert got.tolist() == [samples]


@FEW
@given(
    payload_type=st.integers(0, 127), number=SEQUENCES, timestamp=WORDS, ssrc=WORDS, marker=st.booleans(),
    payload=st.binary(max_size=500),
)  # fmt: skip
def test_what_is_built_is_parsed_back(
    payload_type: int, number: int, timestamp: int, ssrc: int, marker: bool, payload: bytes
) -> None:
    packet = Packet(
        payload_type=payload_type, sequence=number, timestamp=timestamp, ssrc=ssrc, marker=marker, payload=payload
    )
    assert parse_packet(build_packet(packet)) == packet


@FEW
@given(data=st.binary(max_size=600))
def test_any_bytes_are_a_packet_or_a_named_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert len(parse_packet(data).payload) <= len(data)


@FEW
@given(data=st.binary(max_size=200), head=st.sampled_from([b"", b"\x81\xc8\x00\x06", b"\x81\xc9\x00\x07", b"\x81\xcb"]))
def test_any_bytes_are_reports_or_none(data: bytes, head: bytes) -> None:
    rtcp.parse_compound(head + data)


@FEW
@given(data=st.data())
def test_any_permutation_with_losses_and_doubles_keeps_the_books(data: st.DataObject) -> None:
    """Nothing is played that was not sent, counters add up, and the delay stays within its limits."""
    count = 60
    base_sequence, base_timestamp = data.draw(SEQUENCES), data.draw(WORDS)
    copies = data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    late_ms = data.draw(st.lists(st.floats(0, 150), min_size=count, max_size=count))
    copies[0] = max(copies[0], 1)
    copies[-1] = max(copies[-1], 1)
    wire = sorted((20 * n + late_ms[n] + extra, n) for n in range(count) for extra in range(copies[n]))
    playout = Playout(1, PlayoutLimits())
    playout.open(0, alaw=False)
    for tick in range(count + 20):
        now = 20.0 * tick + 3.0
        while wire and wire[0][0] <= now:
            arrived, n = wire.pop(0)
            packet = Arrivals(
                rows=np.array([0]), sequence=np.array([(base_sequence + n) % 65536]),
                timestamp=np.array([(base_timestamp + 160 * n) % 2**32]), ssrc=np.array([4]),
                age_ms=np.array([now - arrived]), size=np.array([FRAME]),
                payload=np.full((1, FRAME), 0x90, np.uint8),
            )  # fmt: skip
            playout.receive(packet, now)
        pcm, _ = playout.select(1, now)
        assert np.abs(pcm).max() <= 16000
    assert not wire
    assert playout.received[0] == sum(copies)
    seen = [n for n in range(count) if copies[n]]
    missing = seen[-1] - seen[0] + 1 - len(seen)
    doubles = sum(copies) - len(seen)
    assert playout.source_expected(0) == count
    assert playout.lost(0) == max(0, missing - doubles)
    assert playout.duplicate[0] <= doubles
    assert 0.0 <= playout.delay_ms[0] <= 200.0


@FEW
@given(data=st.data())
def test_wild_packets_never_break_a_leg(data: st.DataObject) -> None:
    playout = Playout(1, PlayoutLimits())
    playout.open(0, alaw=True)
    for tick in range(40):
        now = 20.0 * tick
        for _ in range(data.draw(st.integers(0, 2))):
            packet = Arrivals(
                rows=np.array([0]), sequence=np.array([data.draw(SEQUENCES)]), timestamp=np.array([data.draw(WORDS)]),
                ssrc=np.array([data.draw(st.integers(1, 3))]), age_ms=np.array([data.draw(st.floats(0, 5000))]),
                size=np.array([data.draw(st.integers(80, 480))]), payload=np.zeros((1, 480), np.uint8),
            )  # fmt: skip
            playout.receive(packet, now)
        playout.select(1, now)
    assert playout.lost(0) >= 0
