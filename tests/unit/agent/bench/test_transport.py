from __future__ import annotations

import pytest

from agent.bench.transport import punctuality, together
from tests.unit.agent.simulator.packets import track


def test_punctual_packets_are_all_on_time() -> None:
    found = punctuality(track(count=100))
    assert (found.received, found.lost, found.share) == (100, 0, 1.0)
    assert found.underruns == 0


def test_a_lost_packet_counts_against_the_sender() -> None:
    found = punctuality(track(count=100, lose={40}))
    assert found.lost == 1
    assert found.share == pytest.approx(99 / 100)
    assert found.underruns == 1


def test_forty_milliseconds_late_is_on_time_and_more_is_not() -> None:
    found = punctuality(track(count=100, late={10: 0.040, 20: 0.041}))
    assert found.share == pytest.approx(0.99)


def test_lateness_starts_anew_with_each_spurt() -> None:
    """After a pause without packets the next spurt has its own first packet to compare with."""
    found = punctuality(track(count=100, pause_after={50: (1.0, 1.3)}))
    assert found.share == 1.0
    assert max(found.lateness_s) == pytest.approx(0.0, abs=1e-9)


def test_a_stall_without_a_timestamp_jump_makes_everything_after_it_late() -> None:
    found = punctuality(track(count=100, late=dict.fromkeys(range(50, 100), 0.3)))
    assert found.share == pytest.approx(0.5)
    assert found.underruns == 1


def test_calls_add_up() -> None:
    both = together([punctuality(track(count=100)), punctuality(track(count=100, lose={40}))])
    assert (both.received, both.lost) == (199, 1)
