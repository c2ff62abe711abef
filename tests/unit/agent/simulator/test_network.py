from __future__ import annotations

import itertools

import pytest

from agent.simulator.network import CLEAN, NetworkProfile, Wire


def sent(profile: NetworkProfile, packets: int = 4000, *, direction: int = 0) -> list[tuple[float, ...]]:
    wire = Wire(profile, direction=direction)
    return [wire.arrivals(0.02 * k) for k in range(packets)]


def test_a_clean_wire_delivers_at_once() -> None:
    assert sent(CLEAN, 3) == [(0.0,), (0.02,), (0.04,)]


def test_the_same_seed_does_the_same_and_directions_differ() -> None:
    profile = NetworkProfile(loss=0.1, jitter_ms=30, seed=7)
    assert sent(profile) == sent(profile)
    assert sent(profile) != sent(profile, direction=1)


def test_loss_and_duplicates_come_in_their_shares() -> None:
    arrivals = sent(NetworkProfile(loss=0.05, duplicate=0.1))
    assert sum(not one for one in arrivals) / len(arrivals) == pytest.approx(0.05, abs=0.015)
    assert sum(len(one) == 2 for one in arrivals) / len(arrivals) == pytest.approx(0.095, abs=0.02)


def test_jitter_delays_up_to_its_bound_and_keeps_order() -> None:
    arrivals = [one[0] for one in sent(NetworkProfile(jitter_ms=60))]
    assert arrivals == sorted(arrivals)
    assert all(-1e-9 <= at - 0.02 * k <= 0.06 + 1e-9 for k, at in enumerate(arrivals))


def test_a_reordered_packet_comes_behind_the_next() -> None:
    arrivals = [one[0] for one in sent(NetworkProfile(reorder=0.05))]
    assert 0.03 < sum(a > b for a, b in itertools.pairwise(arrivals)) / len(arrivals) < 0.07
