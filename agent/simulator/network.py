"""A lossy wire in virtual time: one direction, seeded, the same decisions for the same packets.

A packet is lost, or delayed by jitter, or held back behind its successors, or sent twice. The wire only says when
each copy arrives; who owns a clock delivers.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

HOLD_BACK_S = 0.030
"""A reordered packet waits this much longer: behind the next one of a 20 ms stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkProfile:
    """What a wire does to packets. Shares lie in [0, 1]."""

    loss: float = 0.0
    jitter_ms: float = 0.0
    """Each packet is delayed by a uniform time from 0 to this; order is kept unless ``reorder`` breaks it."""
    reorder: float = 0.0
    duplicate: float = 0.0
    seed: int = 1

    @property
    def is_clean(self) -> bool:
        return not (self.loss or self.jitter_ms or self.reorder or self.duplicate)


CLEAN = NetworkProfile()


class Wire:
    """One direction of a path."""

    def __init__(self, profile: NetworkProfile, *, direction: int) -> None:
        """``direction`` makes the two directions of one call independent."""
        self._profile = profile
        self._random = random.Random(profile.seed * 2 + direction)
        self._last_s = 0.0

    def arrivals(self, sent_s: float) -> tuple[float, ...]:
        """When the copies of a packet sent at ``sent_s`` arrive: none if it is lost."""
        profile = self._profile
        if profile.is_clean:
            return (sent_s,)
        # All draws are made for every packet: one lost packet changes nothing for the next.
        lost, held, twice = (self._random.random() for _ in range(3))
        delay_s = self._random.uniform(0.0, profile.jitter_ms / 1000)
        if lost < profile.loss:
            return ()
        if held < profile.reorder:
            return (sent_s + delay_s + HOLD_BACK_S,)
        arrival_s = max(self._last_s, sent_s + delay_s)
        self._last_s = arrival_s
        return (arrival_s, arrival_s) if twice < profile.duplicate else (arrival_s,)
