"""How punctual the agent's packets are, from the caller's arrival times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.simulator.energy import runs
from agent.simulator.recording import PacketTrack, ordered

ON_TIME_S = 0.040
PLAYOUT_S = 0.060
AUDIBLE_GAP_S = 0.020


@dataclass(frozen=True, slots=True)
class Punctuality:
    """Packets of one or more calls. ``lateness_s`` holds d_k of every received packet."""

    received: int
    lost: int
    on_time: int
    underruns: int
    """Audible gaps of 20 ms or more inside spurts, behind a 60 ms playout buffer."""
    heard_s: float
    lateness_s: tuple[float, ...]

    @property
    def share(self) -> float:
        """OT: packets with d_k ≤ 40 ms of all that should have come. NaN without packets."""
        expected = self.received + self.lost
        return self.on_time / expected if expected else math.nan

    @property
    def underruns_per_hour(self) -> float:
        return self.underruns / (self.heard_s / 3600) if self.heard_s else math.nan


def punctuality(track: PacketTrack) -> Punctuality:
    """d_k = (t_k − t_0) − (ts_k − ts_0) / 8000 per spurt."""
    packets = ordered(track)
    lateness = packets.lateness_s()
    # A nanosecond of slack: d_k is a difference of large clock readings.
    late = np.asarray(lateness > PLAYOUT_S + 1e-9)
    seconds = packets.size / 8000
    gaps = sum(float(seconds[first:last].sum()) >= AUDIBLE_GAP_S - 1e-9 for first, last in runs(late))
    lost = packets.lost()
    holes = int(np.sum((np.diff(packets.sequence) > 1) & (np.diff(packets.spurt) == 0))) if len(packets) else 0
    return Punctuality(
        received=len(packets),
        lost=lost,
        on_time=int(np.sum(lateness <= ON_TIME_S + 1e-9)),
        underruns=gaps + holes,
        heard_s=float(seconds.sum()),
        lateness_s=tuple(lateness.tolist()),
    )


def together(parts: Sequence[Punctuality]) -> Punctuality:
    """Several calls as one."""
    return Punctuality(
        received=sum(part.received for part in parts),
        lost=sum(part.lost for part in parts),
        on_time=sum(part.on_time for part in parts),
        underruns=sum(part.underruns for part in parts),
        heard_s=sum(part.heard_s for part in parts),
        lateness_s=tuple(value for part in parts for value in part.lateness_s),
    )
