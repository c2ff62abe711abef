from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from agent.simulator.recording import PacketTrack, ear_channel, empty_track, ordered, wire_channel
from telephony.audio.g711 import ulaw_decode
from tests.unit.agent.simulator.packets import track


def test_sequence_and_timestamp_wrap_without_a_new_spurt() -> None:
    found = ordered(track(count=100))
    assert found.lost() == 0
    assert found.spurt[-1] == 0
    assert np.all(np.diff(found.sequence) == 1)


def test_audio_lies_where_its_timestamps_say() -> None:
    pcm = wire_channel(track(count=10, start_s=1.0, late={5: 0.03}), ulaw_decode)
    assert np.flatnonzero(pcm)[0] == 8000
    assert len(pcm) == 8000 + 1600
    assert np.all(pcm[8000:] == ulaw_decode(np.array([0x80], np.uint8))[0])


def test_a_lost_packet_is_zeros_in_its_place() -> None:
    pcm = wire_channel(track(count=10, lose={4}), ulaw_decode)
    assert not pcm[8000 + 640 : 8000 + 800].any()
    assert pcm[8000 + 800]


def test_a_timestamp_jump_starts_a_spurt_at_its_own_arrival() -> None:
    pcm = wire_channel(track(count=10, pause_after={4: (5.0, 1.0)}), ulaw_decode)
    assert pcm[8000 + 800 + 8000]
    assert len(pcm) == 8000 + 1600 + 8000


def test_duplicates_count_once_and_the_first_arrival_counts() -> None:
    once = track(count=10)
    order = np.array([0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9])
    twice = PacketTrack(
        arrival_s=once.arrival_s[order] + np.where(np.arange(11) == 3, 0.005, 0),
        sequence=once.sequence[order],
        timestamp=once.timestamp[order],
        marker=once.marker[order],
        offset=once.offset[order],
        size=once.size[order],
        data=once.data,
    )
    assert len(ordered(twice)) == 10
    assert np.array_equal(ordered(twice).arrival_s, ordered(once).arrival_s)


def test_behind_a_buffer_late_packets_are_lost() -> None:
    pcm = ear_channel(track(count=10, late={5: 0.07}), ulaw_decode)
    start = round(1.06 * 8000)
    assert pcm[start]
    assert not pcm[start + 800 : start + 960].any()


def test_wild_timestamps_do_not_eat_the_memory() -> None:
    found = track(count=3)
    wild = replace(found, timestamp=np.array([0, 2**31 - 5, 2**31 + 2**30]), marker=np.zeros(3, np.bool_))
    assert len(wire_channel(wild, ulaw_decode)) < 60 * 8000


def test_nothing_received_is_silence() -> None:
    assert not wire_channel(empty_track(), ulaw_decode, length_s=1.0).any()


def test_a_track_survives_its_file(tmp_path: Path) -> None:
    track(count=5).save(tmp_path / "packets.npz")
    assert np.array_equal(PacketTrack.load(tmp_path / "packets.npz").sequence, track(count=5).sequence)
