"""Received packets by construction."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agent.simulator.recording import PacketTrack


def track(
    *,
    count: int,
    start_s: float = 1.0,
    lose: set[int] | None = None,
    late: Mapping[int, float] | None = None,
    pause_after: Mapping[int, tuple[float, float]] | None = None,
    first_sequence: int = 65500,
    first_timestamp: int = 2**32 - 4000,
    code: int = 0x80,
) -> PacketTrack:
    """``count`` packets of 20 ms, each filled with one code. ``pause_after``: packet → (timestamp gap, real gap)."""
    lose, late, pause_after = lose or set(), late or {}, pause_after or {}
    rows: list[tuple[float, int, int, bool]] = []
    at, stamp = start_s, first_timestamp
    for k in range(count):
        if k not in lose:
            rows.append((at + late.get(k, 0.0), (first_sequence + k) % 65536, stamp % 2**32, k == 0))
        stamp_gap, real_gap = pause_after.get(k, (0.0, 0.0))
        at, stamp = at + 0.02 + real_gap, stamp + 160 + round(stamp_gap * 8000)
    rows.sort()
    n = len(rows)
    return PacketTrack(
        arrival_s=np.array([row[0] for row in rows]),
        sequence=np.array([row[1] for row in rows], np.int64),
        timestamp=np.array([row[2] for row in rows], np.int64),
        marker=np.array([row[3] for row in rows], np.bool_),
        offset=np.arange(n, dtype=np.int64) * 160,
        size=np.full(n, 160, np.int64),
        data=np.full(n * 160, code, np.uint8),
    )
