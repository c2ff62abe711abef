"""Labels of a script written by hand: each rule, frame by frame."""

from __future__ import annotations

import numpy as np

from agent.training.conversation.labels import (
    FRAME,
    NOT_ASKED,
    Event,
    Labels,
    Overlap,
    Script,
    Sound,
    Turn,
    bridged,
    labels,
)
from agent.training.text.answer import State

SECOND = 8000
FRAMES_A_SECOND = 25


def at(seconds: float) -> int:
    return round(seconds * SECOND)


def frame(seconds: float) -> int:
    """The frame whose end is the last one before ``seconds``."""
    return round(seconds * FRAMES_A_SECOND) - 1


def turn(*speech: tuple[float, float], finished: bool = True, takes: bool = False) -> Turn:
    spans = tuple((at(a), at(b)) for a, b in speech)
    return Turn(
        state=State.FREE, start=spans[0][0], end=spans[-1][1], speech=spans, finished=finished, takes=takes, voice="x"
    )


def made(script: Script) -> Labels:
    return labels(script)


def test_a_turn_with_a_pause_and_an_answer() -> None:
    """We speak 0-1 s; the caller 2-3 s and 4-5 s; we again from 6 s."""
    found = made(Script(samples=at(8), turns=[turn((2, 3), (4, 5))], own_intended=[(0, at(1)), (at(6), at(7))]))
    assert set(found.end[: frame(1) + 1]) == {NOT_ASKED}
    assert set(found.end[frame(1) + 1 : frame(3) + 1]) == {0}
    assert set(found.end[frame(3) + 1 : frame(3.08) + 1]) == {NOT_ASKED}
    assert set(found.end[frame(3.08) + 1 : frame(5) + 1]) == {0}
    assert set(found.end[frame(5) + 1 : frame(5.08) + 1]) == {NOT_ASKED}
    assert set(found.end[frame(5.08) + 1 : frame(6) + 1]) == {1}
    assert set(found.end[frame(6) + 1 : frame(7) + 1]) == {NOT_ASKED}
    assert set(found.soon[frame(4.76) + 1 : frame(6) + 1]) == {1}
    assert set(found.soon[frame(3.1) : frame(4.76) + 1]) == {0}
    assert [int(v) for v in found.speech[[frame(2.5), frame(3.5), frame(4.5), frame(5.5)]]] == [1, 0, 1, 0]


def test_the_end_of_a_clip_that_was_cut_is_not_asked() -> None:
    found = made(Script(samples=at(4), turns=[turn((1, 2), finished=False)]))
    assert set(found.end[frame(2) + 1 :]) == {NOT_ASKED}
    assert set(found.end[frame(1) + 1 : frame(2) + 1]) == {0}


def test_two_seconds_after_a_turn_nothing_more_is_asked() -> None:
    found = made(Script(samples=at(6), turns=[turn((1, 2))]))
    assert set(found.end[frame(2.08) + 1 : frame(4) + 1]) == {1}
    assert set(found.end[frame(4) + 1 :]) == {NOT_ASKED}


def test_overlaps_are_asked_while_we_speak_and_not_at_their_onset() -> None:
    events = [
        Event(kind=Overlap.BACKCHANNEL, start=at(1), end=at(1.4)),
        Event(kind=Overlap.TAKES, start=at(3), end=at(5)),
    ]
    script = Script(samples=at(6), own_intended=[(0, at(4))], events=events, turns=[turn((3, 5), takes=True)])
    found = made(script)
    assert set(found.overlap[: frame(1) + 1]) == {Overlap.NONE}
    assert set(found.overlap[frame(1) + 1 : frame(1.12) + 1]) == {NOT_ASKED}
    assert set(found.overlap[frame(1.12) + 1 : frame(1.6) + 1]) == {Overlap.BACKCHANNEL}
    assert set(found.overlap[frame(1.64) + 1 : frame(3) + 1]) == {Overlap.NONE}
    assert set(found.overlap[frame(3.12) + 1 : frame(4) + 1]) == {Overlap.TAKES}
    assert set(found.overlap[frame(4) + 1 :]) == {NOT_ASKED}
    assert set(found.end[frame(3) + 1 : frame(4) + 1]) == {NOT_ASKED}
    assert set(found.end[frame(4.04) + 1 : frame(5) + 1]) == {0}
    assert int(found.speech[frame(1.3)]) == 1


def test_echo_is_a_class_of_its_own_where_nothing_else_sounds() -> None:
    script = Script(samples=at(2), own_intended=[(0, at(2))], sounds=[(Sound.ECHO, (at(0.4), at(1.6)))])
    found = made(script)
    assert set(found.overlap[frame(0.4) + 1 : frame(1.6) + 1]) == {Overlap.ECHO}
    assert set(found.overlap[: frame(0.4)]) == {Overlap.NONE}
    assert int(found.sound[frame(1)]) == Sound.ECHO


def test_our_backchannel_fits_in_the_pauses_of_long_turns_only() -> None:
    found = made(Script(samples=at(9), turns=[turn((0.4, 1), (1.6, 4), (5, 6))]))
    assert set(found.fits[frame(1) : frame(1.6)]) == {0}
    assert set(found.fits[frame(4.16) + 1 : frame(4.8) + 1]) == {1}
    assert set(found.fits[frame(4.8) + 1 : frame(6)]) == {0}
    assert set(found.fits[frame(8) :]) == {NOT_ASKED}


def test_short_silences_are_inside_words() -> None:
    assert bridged([(0, 100), (1000, 2000), (3100, 4000)]) == [(0, 2000), (3100, 4000)]


def test_labels_have_one_code_per_forty_milliseconds() -> None:
    found = made(Script(samples=at(2)))
    assert found.end.dtype == np.uint8
    assert len(found.end) == at(2) // FRAME == 50
