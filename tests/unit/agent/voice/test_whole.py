"""Whole clauses to telephone speech."""

from __future__ import annotations

import numpy as np
import pytest

from agent.voice.whole import telephone, to_telephone_rate


def tone(hz: float, rate_hz: int, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_tone_keeps_place_and_level_at_every_rate(rate_hz: int) -> None:
    got = to_telephone_rate(tone(440, rate_hz), rate_hz)
    assert got.size == 4000
    assert np.abs(got - tone(440, 8000))[200:-200].max() < 0.01


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000])
def test_what_a_telephone_cannot_carry_is_gone(rate_hz: int) -> None:
    got = to_telephone_rate(tone(5000, rate_hz), rate_hz)
    assert np.abs(got[200:-200]).max() < 0.01


def test_silence_around_speech_is_cut_off() -> None:
    quiet = np.zeros(12_000)
    got = telephone(np.concatenate((quiet, tone(300, 24_000), quiet)), 24_000, 0.5)
    assert 4000 <= got.size < 4400
    assert abs(int(np.abs(got).max()) - 16_000) < 1500
    assert abs(int(got[0])) < 500, "faded in"


def test_silence_alone_is_nothing() -> None:
    assert telephone(np.zeros(24_000), 24_000, 1.0).size == 0
    assert telephone(np.zeros(0), 24_000, 1.0).size == 0


def test_lower_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="below a telephone's rate"):
        to_telephone_rate(np.zeros(100), 4000)
