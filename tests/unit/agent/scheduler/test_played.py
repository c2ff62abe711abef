"""Our own audio as it was played: told once, by the number under which it was handed out."""

from __future__ import annotations

import numpy as np

from agent.scheduler.played import RING, PlayedAudio
from telephony.link import FRAME_SAMPLES

ROWS = np.array([1])


def frame(value: int) -> np.ndarray:
    return np.full((1, FRAME_SAMPLES), value, np.int16)


def number(value: int) -> np.ndarray:
    return np.array([value], np.uint32)


def test_a_frame_is_told_when_it_was_played_and_only_then() -> None:
    ours = PlayedAudio(2)
    for n in range(3):
        ours.keep(ROWS, number(n), frame(n + 1), np.array([n == 1]))
    pcm, speech = ours.since(ROWS, number(0))
    assert not pcm.any()
    assert not speech.any()
    pcm, speech = ours.since(ROWS, number(2))
    assert (pcm == 2).all()
    assert speech.all()
    assert (ours.last[1] == 2).all()
    pcm, speech = ours.since(ROWS, number(2))
    assert not pcm.any(), "nothing new was played"
    assert not speech.any()


def test_the_ring_goes_round() -> None:
    ours = PlayedAudio(2)
    for n in range(RING + 3):
        ours.keep(ROWS, number(n), frame(n), np.array([True]))
    pcm, _ = ours.since(ROWS, number(RING + 3))
    assert (pcm == RING + 2).all()


def test_another_call_on_the_row_hears_nothing_of_the_one_before() -> None:
    ours = PlayedAudio(2)
    ours.keep(ROWS, number(0), frame(7), np.array([True]))
    ours.since(ROWS, number(1))
    ours.forget(1)
    ours.keep(ROWS, number(0), frame(0), np.array([False]))
    pcm, speech = ours.since(ROWS, number(1))
    assert not pcm.any()
    assert not speech.any()
