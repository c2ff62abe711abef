from __future__ import annotations

import numpy as np
import pytest

from telephony.audio import g711, tones


@pytest.mark.parametrize("key", list(tones.KEYS))
def test_each_key_is_found_after_g711_and_noise(key: str) -> None:
    rng = np.random.default_rng(7)
    pcm = tones.dtmf(key, 400, level_dbfs=-15.0) + rng.normal(0, 100, 400).astype(np.int16)
    assert tones.detect_dtmf(g711.ulaw_decode(g711.ulaw_encode(pcm.astype(np.int16)))) == key


def test_noise_silence_and_one_tone_are_no_key() -> None:
    rng = np.random.default_rng(3)
    assert tones.detect_dtmf(np.zeros(400, np.int16)) == ""
    assert tones.detect_dtmf(rng.normal(0, 3000, 400).astype(np.int16)) == ""
    assert tones.detect_dtmf(tones.tone((697.0,), 400)) == ""


def test_amplitude_of_a_known_sine_is_found() -> None:
    pcm = tones.tone((1000.0,), 800, level_dbfs=-20.0)
    assert tones.amplitudes(pcm, (1000.0, 2000.0)).tolist() == pytest.approx([0.1, 0.0], abs=0.001)


def test_a_tone_goes_on_in_phase() -> None:
    whole = tones.tone((440.0, 620.0), 320)
    halves = np.concatenate((tones.tone((440.0, 620.0), 160), tones.tone((440.0, 620.0), 160, start=160)))
    np.testing.assert_array_equal(whole, halves)
