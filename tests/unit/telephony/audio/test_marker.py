from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from telephony.audio.marker import TONE_SAMPLES, WORD_SAMPLES, decode_marker, marker_word


def through_mu_law(pcm: NDArray[np.int16], gain_db: float = 0.0) -> NDArray[np.int16]:
    """Continuous mu-law companding (8 bits), as good a model of G.711 as this test needs."""
    x = np.clip(pcm * 10 ** (gain_db / 20) / 32768, -1, 1)
    code = np.round(np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256) * 127)
    y = np.sign(code) * np.expm1(np.abs(code) / 127 * np.log(256)) / 255
    return np.asarray(np.round(y * 32767), np.int16)


def all_words() -> NDArray[np.int16]:
    return np.concatenate([marker_word(k) for k in range(64)])


@pytest.mark.parametrize("gain_db", [0.0, -6.0, -15.0, -20.0])
def test_all_words_survive_mu_law_and_ducking(gain_db: float) -> None:
    found = decode_marker(through_mu_law(all_words(), gain_db))
    assert [k for k, _, _ in found] == list(range(64))
    starts = np.array([start for _, start, _ in found]) - WORD_SAMPLES * np.arange(64)
    ends = np.array([end for _, _, end in found]) - WORD_SAMPLES * np.arange(64) - TONE_SAMPLES
    assert np.abs(starts).max() <= 24
    assert np.abs(ends).max() <= 24


def test_gain_that_changes_inside_a_word_does_not_matter() -> None:
    pcm = all_words().astype(np.float64)
    pcm[WORD_SAMPLES * 5 + 400 : WORD_SAMPLES * 9 + 100] *= 10 ** (-15 / 20)
    assert [k for k, _, _ in decode_marker(pcm)] == list(range(64))


@pytest.mark.parametrize("kept_ms", [30, 45, 60, 100])
def test_last_word_cut_short_is_found_with_its_end(kept_ms: int) -> None:
    cut = 3 * WORD_SAMPLES + kept_ms * 8
    found = decode_marker(through_mu_law(np.concatenate([all_words()[:cut], np.zeros(4000, np.int16)])))
    assert [k for k, _, _ in found] == [0, 1, 2, 3]
    assert abs(found[-1][2] - cut) <= 24


def test_word_that_begins_where_another_was_cut_is_told_apart() -> None:
    pcm = np.concatenate([marker_word(10)[:480], marker_word(33), marker_word(34)])
    assert [k for k, _, _ in decode_marker(through_mu_law(pcm))] == [10, 33, 34]


def test_lost_packet_inside_a_word_leaves_one_word() -> None:
    pcm = all_words()
    pcm[WORD_SAMPLES * 7 + 320 : WORD_SAMPLES * 7 + 480] = 0
    assert [k for k, _, _ in decode_marker(pcm)] == list(range(64))


def test_numbers_count_modulo_64() -> None:
    assert np.array_equal(marker_word(65), marker_word(1))


def test_peak_is_near_minus_six_dbfs() -> None:
    assert 15_000 < np.abs(all_words()).max() < 16_400


def test_silence_noise_and_a_single_tone_hold_no_words() -> None:
    rng = np.random.default_rng(1)
    time = np.arange(8000) / 8000
    assert decode_marker(np.zeros(0, np.int16)) == []
    assert decode_marker(np.zeros(8000, np.int16)) == []
    assert decode_marker(rng.normal(0, 2000, 8000)) == []
    assert decode_marker(8000 * np.sin(2 * np.pi * 510 * time)) == []
