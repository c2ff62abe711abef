"""The interval of a counted share. Pure."""

from __future__ import annotations

import math

Z95 = 1.959964


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson score interval of a proportion at 95 %; everything is possible where nothing was counted."""
    if n == 0:
        return (0.0, 1.0)
    share, z2 = hits / n, Z95 * Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return (max(0.0, middle - half), min(1.0, middle + half))
