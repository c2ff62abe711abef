from __future__ import annotations

import numpy as np
import pytest

from telephony.audio import levels

ALL_SAMPLES = np.arange(-32768, 32768).astype(np.int16)


def test_every_sample_survives_the_way_to_float_and_back() -> None:
    assert (levels.to_int16(levels.to_float(ALL_SAMPLES)) == ALL_SAMPLES).all()


def test_what_is_too_loud_is_clipped_and_does_not_wrap() -> None:
    assert levels.to_int16(np.array([1.5, -1.5])).tolist() == [32767, -32768]
    assert levels.apply_gain(np.array([20000, -20000], np.int16), 4.0).tolist() == [32767, -32768]


def test_a_full_scale_square_wave_has_0_dbfs_and_silence_the_floor() -> None:
    square = np.array([[-32768, -32768], [0, 0]], np.int16)
    assert levels.dbfs(square).tolist() == pytest.approx([0.0, levels.SILENCE_DBFS], abs=0.01)


def test_six_decibels_are_about_a_half() -> None:
    assert levels.gain_from_db(-6.02) == pytest.approx(0.5, abs=0.001)


def test_a_ramp_reaches_its_end_at_its_last_sample() -> None:
    ramp = levels.ramp(1.0, 0.0, 4)
    assert ramp.tolist() == pytest.approx([0.75, 0.5, 0.25, 0.0])
