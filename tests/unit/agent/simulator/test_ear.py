from __future__ import annotations

from agent.simulator.ear import Ear

QUIET, LOUD = b"\xff" * 160, b"\x80" * 160


def hear(ear: Ear, *spans: tuple[float, float], until: float) -> None:
    for k in range(round(until / 0.02)):
        at = 0.02 * k
        ear.hear(at, LOUD if any(a <= at < b for a, b in spans) else QUIET)


def test_the_agent_speaks_from_its_third_loud_piece() -> None:
    ear = Ear()
    hear(ear, (1.0, 2.0), until=2.0)
    assert ear.talk_since is not None
    assert abs(ear.talk_since - 1.0) < 0.011
    assert ear.speaking(2.0)
    assert not ear.speaking(2.4)


def test_a_short_pause_does_not_end_what_is_said() -> None:
    ear = Ear()
    hear(ear, (1.0, 2.0), (2.5, 3.0), until=3.0)
    assert ear.talks == 1
    hear(ear, (0.0, 0.0), until=0.0)
    ear = Ear()
    hear(ear, (1.0, 2.0), (2.8, 3.0), until=3.0)
    assert ear.talks == 2


def test_a_click_is_no_speech() -> None:
    ear = Ear()
    hear(ear, (1.0, 1.01), until=2.0)
    assert ear.talks == 0
    assert ear.silent_for(2.0) == float("inf")
