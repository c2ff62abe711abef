"""glibc's allocator told to keep what a training step frees. Page faults of memory that goes and comes cost a third."""

from __future__ import annotations

import ctypes
from typing import Final

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""malloc.h"""
NEVER: Final = -1
AHEAD_BYTES: Final = 256 << 20


def keep_pages() -> bool:
    """Freed memory stays with this process and is used again; false where the C library is another."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    asked = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER), (M_TOP_PAD, AHEAD_BYTES))
    return bool(sum(mallopt(name, value) for name, value in asked) == len(asked))
