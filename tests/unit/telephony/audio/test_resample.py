from __future__ import annotations

import numpy as np
import pytest

from telephony.audio.resample import DELAY_MS, Resampler

RATES = [(8000, 16000), (16000, 8000), (8000, 24000), (24000, 8000)]


def run(resampler: Resampler, audio: np.ndarray, samples: int) -> np.ndarray:
    parts = [resampler.process(audio[:, at : at + samples]) for at in range(0, audio.shape[1], samples)]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
@pytest.mark.parametrize("frequency", [300, 1000, 3400])
def test_speech_band_passes_with_unit_gain_and_the_stated_delay(rate_in: int, rate_out: int, frequency: int) -> None:
    samples = rate_in // 50
    wave = np.sin(2 * np.pi * frequency * np.arange(rate_in) / rate_in).astype(np.float32)[None]
    out = run(Resampler(rate_in, rate_out, rows=1, samples=samples), wave, samples)[0]
    time_s = np.arange(len(out)) / rate_out
    phasor = 2 * np.mean((out * np.exp(-2j * np.pi * frequency * time_s))[len(out) // 2 :])
    assert 20 * np.log10(abs(phasor)) == pytest.approx(0.0, abs=0.2)
    delay_s = -np.angle(phasor * 1j) / (2 * np.pi * frequency)
    error_s = (delay_s - DELAY_MS / 1000 + 0.5 / frequency) % (1 / frequency) - 0.5 / frequency
    # Going down, an output sample stands for the newest of its input samples: up to one input sample earlier.
    assert abs(error_s) * 1000 < 0.1


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_ten_minutes_do_not_drift_by_a_sample(rate_in: int, rate_out: int) -> None:
    samples = rate_in // 50
    resampler = Resampler(rate_in, rate_out, rows=1, samples=samples)
    frame = np.zeros((1, samples), np.float32)
    assert sum(resampler.process(frame).shape[1] for _ in range(500)) * 60 == rate_out * 600


def test_a_row_does_not_depend_on_its_neighbours_or_on_who_is_processed() -> None:
    rng = np.random.default_rng(1)
    audio = rng.normal(0, 0.1, (4, 1600)).astype(np.float32)
    together = run(Resampler(8000, 16000, rows=4, samples=160), audio, 160)
    some = Resampler(8000, 16000, rows=4, samples=160)
    rows = np.array([2])
    alone = [some.process(audio[rows, at : at + 160], rows) for at in range(0, 1600, 160)]
    np.testing.assert_allclose(np.concatenate(alone, axis=1)[0], together[2], atol=1e-6)


def test_a_reset_row_remembers_nothing() -> None:
    resampler = Resampler(8000, 16000, rows=2, samples=160)
    resampler.process(np.ones((2, 160), np.float32))
    resampler.reset(1)
    out = resampler.process(np.zeros((2, 160), np.float32))
    assert np.abs(out[0]).max() > 0.1
    assert not out[1].any()


def test_a_rate_that_is_no_whole_factor_is_refused() -> None:
    with pytest.raises(ValueError, match="whole factor"):
        Resampler(16000, 24000, rows=1, samples=320)
