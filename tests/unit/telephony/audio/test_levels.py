from __future__ import annotations

import numpy as np

from telephony.audio import levels

ALL_SAMPLES = np.arange(-32768, 32768).astype(np.int16)


def test_every_sample_survives_the_way_to_float_and_back() -> None:
    assert (levels.to_int16(levels.to_float(ALL_SAMPLES)) == ALL_SAMPLES).all()


def test_what_is_too_loud_is_clipped_and_does_not_wrap() -> None:
    assert levels.to_int16(np.array([1.5, -1.5])).tolist() == [32767, -32768]
