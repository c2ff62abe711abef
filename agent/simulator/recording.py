"""What the caller received, packet by packet, and the audio that this makes on the caller's clock.

Agent time of sample i of a received packet is its arrival + i / rate, with no playout buffer ("wire"). For
segmentation a spurt is de-jittered by its RTP timestamps: sample time = arrival of the spurt's first packet +
(timestamp − first timestamp) / 8000. A jump of the timestamp that lost packets do not explain, or a marker bit,
starts a new spurt. Lost packets are zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.simulator.energy import RATE_HZ, Pcm

Decode = Callable[[NDArray[np.uint8]], Pcm]
TAIL_S = 0.2
MAX_CALL_S = 4 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketTrack:
    """Audio packets in order of arrival. All arrays have one row per packet."""

    arrival_s: NDArray[np.float64]
    """From the start of the recording."""
    sequence: NDArray[np.int64]
    """As on the wire (16 bit) …"""
    timestamp: NDArray[np.int64]
    """… and 32 bit."""
    marker: NDArray[np.bool_]
    offset: NDArray[np.int64]
    """Where the packet's payload begins in ``data``."""
    size: NDArray[np.int64]
    """Payload bytes: for G.711 also its samples."""
    data: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.arrival_s)

    def save(self, path: Path) -> None:
        np.savez_compressed(path, **{name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, path: Path) -> PacketTrack:
        with np.load(path, allow_pickle=False) as found:
            return cls(**{name: found[name] for name in found.files})


def empty_track() -> PacketTrack:
    """A track on which nothing arrived."""
    ints = np.zeros(0, np.int64)
    return PacketTrack(
        arrival_s=np.zeros(0),
        sequence=ints,
        timestamp=ints,
        marker=np.zeros(0, np.bool_),
        offset=ints,
        size=ints,
        data=np.zeros(0, np.uint8),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedPackets:
    """A track without duplicates, in order of sequence, with its spurts."""

    arrival_s: NDArray[np.float64]
    sequence: NDArray[np.int64]
    """Extended: never wraps."""
    timestamp: NDArray[np.int64]
    """Extended: never wraps."""
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    spurt: NDArray[np.int64]
    """Number of the spurt of each packet."""

    def __len__(self) -> int:
        return len(self.arrival_s)

    def first_of_spurt(self) -> NDArray[np.int64]:
        """(packets,) index of the first packet of each packet's spurt."""
        return np.searchsorted(self.spurt, self.spurt, side="left").astype(np.int64)

    def dejittered_s(self) -> NDArray[np.float64]:
        """(packets,) time of each packet's first sample by its spurt's timestamps."""
        first = self.first_of_spurt()
        return self.arrival_s[first] + (self.timestamp - self.timestamp[first]) / RATE_HZ

    def lateness_s(self) -> NDArray[np.float64]:
        """(packets,) d_k = (t_k − t_0) − (ts_k − ts_0) / 8000 within the spurt."""
        return self.arrival_s - self.dejittered_s()

    def lost(self) -> int:
        """Packets missing inside spurts."""
        if len(self) < 2:
            return 0
        inside = np.diff(self.spurt) == 0
        return int(np.sum((np.diff(self.sequence) - 1)[inside]))


def unwrap(values: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Numbers modulo 2**bits → numbers that never wrap, each taken nearest to the one before it."""
    if not len(values):
        return values.astype(np.int64)
    half, full = 1 << (bits - 1), 1 << bits
    steps = (np.diff(values) + half) % full - half
    return np.concatenate(([values[0]], values[0] + np.cumsum(steps))).astype(np.int64)


def ordered(track: PacketTrack) -> OrderedPackets:
    """Duplicates dropped (the first arrival counts), sequence order, spurts numbered from 0."""
    sequence = unwrap(track.sequence, 16)
    timestamp = unwrap(track.timestamp, 32)
    unique, index = np.unique(sequence, return_index=True)
    timestamp, size = timestamp[index], track.size[index]
    new_spurt = np.zeros(len(unique), np.bool_)
    if len(unique) > 1:
        explained = np.diff(timestamp) == np.diff(unique) * size[:-1]
        new_spurt[1:] = ~explained | track.marker[index][1:]
    return OrderedPackets(
        arrival_s=track.arrival_s[index],
        sequence=unique,
        timestamp=timestamp,
        offset=track.offset[index],
        size=size,
        spurt=np.cumsum(new_spurt).astype(np.int64),
    )


def wire_channel(track: PacketTrack, decode: Decode, *, length_s: float = 0.0) -> Pcm:
    """The agent as it came off the wire, (samples,) int16 from the start of the recording."""
    packets = ordered(track)
    return _placed(packets, track.data, packets.dejittered_s(), decode, length_s)


def ear_channel(track: PacketTrack, decode: Decode, *, buffer_s: float = 0.06, length_s: float = 0.0) -> Pcm:
    """The agent behind a fixed playout buffer ("ear60"): packets later than the buffer are lost."""
    packets = ordered(track)
    due = packets.dejittered_s() + buffer_s
    kept = np.flatnonzero(packets.arrival_s <= due)
    return _placed(packets, track.data, due, decode, length_s, kept)


def _placed(
    packets: OrderedPackets,
    data: NDArray[np.uint8],
    at_s: NDArray[np.float64],
    decode: Decode,
    length_s: float,
    kept: NDArray[np.int64] | None = None,
) -> Pcm:
    if not len(packets):
        return np.zeros(round(length_s * RATE_HZ), np.int16)
    # A peer's timestamps place these samples: what lies outside any call is not worth the memory.
    starts = np.round(np.clip(at_s, 0.0, MAX_CALL_S) * RATE_HZ).astype(np.int64)
    total = max(int(np.max(starts + packets.size)), round(length_s * RATE_HZ))
    pcm = np.zeros(total, np.int16)
    samples = decode(data)
    for k in range(len(packets)) if kept is None else kept.tolist():
        start, offset, size = int(starts[k]), int(packets.offset[k]), int(packets.size[k])
        pcm[start : start + size] = samples[offset : offset + size]
    return pcm
