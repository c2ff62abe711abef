from __future__ import annotations

import numpy as np
import pytest

from agent.voice.shape import CEILING, Cutter, Halver, limit, speech_bounds
from agent.voice.timing import estimate, syllables


def tone(hz: float, samples: int, rate_hz: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(8000 * np.sin(2 * np.pi * hz * np.arange(samples) / rate_hz), np.float64)


@pytest.mark.parametrize("piece", [1, 7, 320, 4000])
def test_halving_in_pieces_equals_halving_at_once(piece: int) -> None:
    signal = tone(440, 4000, 16000)
    whole, parts = Halver(), Halver()
    expected = np.concatenate((whole.push(signal), whole.flush()))
    got = [parts.push(signal[at : at + piece]) for at in range(0, signal.size, piece)]
    assert np.allclose(np.concatenate((*got, parts.flush())), expected)
    assert expected.size == 2000


def test_halved_tone_lies_where_it_was_and_keeps_its_level() -> None:
    halver = Halver()
    got = np.concatenate((halver.push(tone(1000, 4000, 16000)), halver.flush()))
    assert np.abs(got - tone(1000, 2000, 8000))[100:-100].max() < 40


def test_what_would_alias_is_gone() -> None:
    halver = Halver()
    got = np.concatenate((halver.push(tone(5000, 4000, 16000)), halver.flush()))
    assert np.abs(got[100:-100]).max() < 8000 * 10 ** (-50 / 20)


def test_limiter_leaves_quiet_alone_and_holds_the_ceiling() -> None:
    quiet = np.array([-12000.0, 0.0, 12000.0])
    assert np.array_equal(limit(quiet), quiet)
    assert np.abs(limit(np.array([-90000.0, 40000.0]))).max() <= CEILING + 1


def test_cutter_keeps_its_stretch_and_fades_both_edges() -> None:
    cutter = Cutter(100, 500, 1.0)
    kept = np.concatenate([cutter.push(np.full(64, 1000.0)) for _ in range(10)])
    assert kept.size == 400
    assert kept[0] <= 25
    assert kept[-1] <= 25
    assert kept[200] == 1000
    assert np.abs(np.diff(kept)).max() <= 26


def test_speech_bounds_of_silence_are_empty() -> None:
    assert speech_bounds(np.zeros(1000, np.int16), frame=80, level=10) == (0, 0)


def test_estimated_times_follow_the_pause_that_can_be_heard() -> None:
    speech = tone(300, 4000, 8000).astype(np.int16)
    pcm = np.concatenate((speech[:2400], np.zeros(1600, np.int16), speech[:3200]))
    times = estimate(["one", "two,", "three"], pcm)
    assert abs(times[1][1] - 2400) <= 80
    assert abs(times[2][0] - 4000) <= 80
    assert times[2][1] == pcm.size


def test_estimated_times_without_a_pause_cover_the_clause_in_order() -> None:
    pcm = tone(300, 8000, 8000).astype(np.int16)
    times = estimate(["I,", "understand,", "you"], pcm)
    assert times[0][0] == 0
    assert times[-1][1] == pcm.size
    assert all(start < end for start, end in times)
    assert times[1][1] - times[1][0] > 2 * (times[0][1] - times[0][0])


def test_syllables_of_common_words() -> None:
    assert [syllables(w) for w in ("one", "parcel", "delivery", "the", "table")] == [1, 2, 4, 1, 2]
