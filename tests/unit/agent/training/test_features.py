"""Features: streaming = offline, rows alone, the scale; the expectation as a vector."""

from __future__ import annotations

import numpy as np
import pytest

from agent.expectation import Expect, ExpectKind
from agent.model.small.expectation import DETAILS, DIGITS_WANTED, HAS_CHECK, SIZE, vector
from agent.model.small.features import BANDS, FLOOR_DB, HOP, LogMel, decibels, log_mel


def noise(rows: int, samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(1).standard_normal((rows, samples))).astype(np.float32)


@pytest.mark.parametrize("frames", [1, 2, 4, 8])
def test_streaming_gives_the_same_codes_as_a_whole_recording(frames: int) -> None:
    pcm = noise(3, 3200)
    whole = log_mel(pcm)
    stream, step = LogMel(3), frames * HOP
    parts = [stream.push(pcm[:, start : start + step], np.arange(3)) for start in range(0, 3200, step)]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


def test_rows_rest_reset_and_move() -> None:
    pcm = noise(2, 1600)
    stream = LogMel(2)
    stream.push(pcm[:, :800], np.arange(2))
    moved = LogMel(5)
    moved.restore(4, stream.state(1))
    stream.push(pcm[:1, 800:], np.array([0]))  # row 1 rests
    expected = log_mel(pcm)[1, 10:]
    assert np.array_equal(stream.push(pcm[1:, 800:], np.array([1]))[0], expected)
    assert np.array_equal(moved.push(pcm[1:, 800:], np.array([4]))[0], expected)
    stream.reset(1)
    assert np.array_equal(stream.push(pcm[1:, :800], np.array([1]))[0], log_mel(pcm)[1, :10])


def test_levels_are_decibels_of_full_scale() -> None:
    time = np.arange(4000) / 8000
    for level in (0, -40):
        tone = (10 ** (level / 20) * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
        found = decibels(log_mel(tone))[10:]
        assert found.shape[1] == BANDS
        assert abs(found.max() - level) < 2
    assert decibels(log_mel(np.zeros(800, np.float32))).max() <= FLOOR_DB + 1


def test_a_frame_sees_nothing_of_the_future() -> None:
    pcm = noise(1, 1600)
    changed = pcm.copy()
    changed[:, 800:] = 0
    assert np.array_equal(log_mel(pcm)[:, :10], log_mel(changed)[:, :10])


def test_the_expectation_is_a_vector_in_which_unknown_is_a_value() -> None:
    unknown = vector(Expect())
    assert unknown.shape == (SIZE,)
    assert unknown.sum() == 1
    number = vector(Expect(kind=ExpectKind.DIGITS, digits=8, check="luhn"))
    assert number[DIGITS_WANTED] == 0.5
    assert number[HAS_CHECK] == 1
    seen = [vector(Expect(kind=kind)).tobytes() for kind in ExpectKind]
    seen += [vector(Expect(kind=ExpectKind.FREE), detail).tobytes() for detail in DETAILS]
    assert len({*seen}) == len(seen)
    many = vector(Expect(kind=ExpectKind.PHRASES, phrases=("a b c",) * 500, also_yes_no=True, digits=99))
    assert many.max() <= 1


def test_rows_of_silence_beside_others_are_what_they_are_alone() -> None:
    rng = np.random.default_rng(4)
    pcm = rng.normal(0, 0.1, (3, 640)).astype(np.float32)
    pcm[1] = 0.0
    together, alone = LogMel(3), LogMel(3)
    for at in range(0, 640, 320):
        found = together.push(pcm[:, at : at + 320], np.arange(3))
        one_by_one = [alone.push(pcm[row : row + 1, at : at + 320], np.array([row])) for row in range(3)]
        assert np.array_equal(found, np.concatenate(one_by_one))
    assert np.array_equal(found[1], log_mel(pcm[1])[4:])
