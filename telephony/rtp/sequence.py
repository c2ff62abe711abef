"""Modular arithmetic of RTP sequence numbers (16 bits) and timestamps (32 bits): RFC 3550 §5.1, RFC 1982.

Everything that compares or subtracts these numbers goes through here. Works on integers and on integer arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEQ_MOD = 1 << 16


def seq_delta(newer: int, older: int) -> int:
    """Signed distance from ``older`` to ``newer``, in [-32768, 32767]."""
    return (newer - older + 0x8000) % SEQ_MOD - 0x8000


def seq_deltas(newer: NDArray[np.int64], older: NDArray[np.int64]) -> NDArray[np.int64]:
    """``seq_delta`` for arrays of int64."""
    return ((newer - older + 0x8000) & 0xFFFF) - 0x8000


def ts_deltas(newer: NDArray[np.int64], older: NDArray[np.int64]) -> NDArray[np.int64]:
    """Signed distances of timestamps, in [-2**31, 2**31), arrays of int64."""
    return ((newer - older + 0x80000000) & 0xFFFFFFFF) - 0x80000000
