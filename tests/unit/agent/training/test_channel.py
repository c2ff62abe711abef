"""The line: codecs, rooms and losses do what they say."""

from __future__ import annotations

import numpy as np
import pytest

from agent.training.channel.codec import g711, mobile
from agent.training.channel.network import concealed, losses, stalls
from agent.training.channel.room import band, filtered, handset, impulse
from agent.training.conversation import sounds

RATE = 8000


def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def noise(seconds: float = 1.0) -> np.ndarray:
    return (0.1 * rng().standard_normal(round(seconds * RATE))).astype(np.float32)


def level_db(pcm: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(pcm)) ** 2
    hz = np.fft.rfftfreq(pcm.size, 1 / RATE)
    return float(10 * np.log10(np.mean(power[(hz >= low) & (hz < high)]) + 1e-12))


@pytest.mark.parametrize("alaw", [False, True])
def test_g711_adds_its_own_noise_and_no_more(alaw: bool) -> None:
    pcm = noise()
    error = g711(pcm, alaw=alaw) - pcm
    assert 33 < 20 * np.log10(pcm.std() / error.std()) < 42


def test_filtering_in_blocks_is_convolution() -> None:
    pcm, taps = noise(1.3), impulse(rng(), seconds=0.3, wet=0.5)
    assert np.abs(filtered(pcm, taps) - np.convolve(pcm, taps)[: pcm.size]).max() < 1e-5


def test_a_long_room_is_filtered_too() -> None:
    taps = impulse(rng(), seconds=0.6, wet=1.0)
    assert np.abs(filtered(noise(), taps) - np.convolve(noise(), taps)[:RATE]).max() < 1e-5


def test_bands_and_handsets_take_the_edges_away() -> None:
    pcm = noise(4)
    assert level_db(band(pcm, 300, 3400), 20, 120) < level_db(pcm, 20, 120) - 15
    assert level_db(band(pcm, 300, 3400), 800, 2000) > level_db(pcm, 800, 2000) - 1.5
    heard = filtered(pcm, handset(rng()))
    assert level_db(heard, 20, 100) < level_db(heard, 800, 2000) - 8


def test_mobile_keeps_the_speech_and_loses_detail() -> None:
    time = np.arange(2 * RATE) / RATE
    pcm = (0.2 * np.sin(2 * np.pi * 700 * time) * (np.sin(2 * np.pi * 2 * time) > 0)).astype(np.float32)
    out = mobile(pcm, rng())
    assert out.size == pcm.size
    assert np.corrcoef(out, pcm)[0, 1] > 0.8
    assert np.abs(out - pcm).std() > 0.003


def test_losses_have_their_share_and_come_in_bursts() -> None:
    lost = losses(40_000, 0.03, 2.5, rng())
    runs = np.diff(np.concatenate(([0], lost.astype(int), [0])))
    assert 0.024 < lost.mean() < 0.036
    assert 2.1 < lost.sum() / np.sum(runs == 1) < 2.9
    assert not losses(100, 0.0, 2.0, rng()).any()
    assert stalls(3000 * 20, 6.0, rng()).any()


def test_concealment_changes_lost_frames_only() -> None:
    time = np.arange(RATE) / RATE
    pcm = (0.3 * np.sin(2 * np.pi * 200 * time)).astype(np.float32)
    lost = np.zeros(50, np.bool_)
    lost[20:22] = True
    out = concealed(pcm, lost)
    assert np.abs(out[: 20 * 160] - pcm[: 20 * 160]).max() < 1e-4
    assert np.abs(out[22 * 160 + 40 :] - pcm[22 * 160 + 40 :]).max() < 1e-4
    assert np.abs(out[20 * 160 : 21 * 160]).max() > 0.2  # repeated, not silent
    assert concealed(pcm, np.zeros(50, np.bool_)) is pcm


@pytest.mark.parametrize("seed", range(30))
def test_sounds_are_finite_audible_and_not_too_long(seed: int) -> None:
    draws = np.random.default_rng(seed)
    for made in (sounds.tic(draws), sounds.burst(draws)):
        assert np.isfinite(made).all()
        assert 0.005 < np.abs(made).max() < 4
        assert made.size < 5 * RATE
    for made in (sounds.bed(RATE, draws), sounds.music(RATE, draws)):
        assert made.size == RATE
        assert np.isfinite(made).all()
        assert made.std() > 1e-4
