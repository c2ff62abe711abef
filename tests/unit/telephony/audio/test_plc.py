from __future__ import annotations

import numpy as np

from telephony.audio.plc import Concealer
from telephony.audio.tones import tone

ROW = np.array([0])


def primed(frequency: float = 100.0, rows: int = 1) -> tuple[Concealer, np.ndarray]:
    """A concealer that has heard 60 ms of a tone; and the tone as it would have gone on."""
    wave = tone((frequency,), 1600)
    concealer = Concealer(rows)
    for at in range(0, 480, 160):
        concealer.accept(np.tile(wave[at : at + 160], (rows, 1)))
    return concealer, wave[480:]


def test_a_periodic_sound_goes_on_in_phase() -> None:
    concealer, expected = primed(100.0)
    got = concealer.conceal(ROW)[0]
    np.testing.assert_allclose(got[:80], expected[:80], atol=200)


def test_concealment_fades_and_is_silent_after_60_ms() -> None:
    concealer, _ = primed()
    frames = []
    for _ in range(5):
        frames.append(concealer.conceal(ROW)[0])
        concealer.accept(frames[-1][None])
    peaks = [int(np.abs(frame).max()) for frame in frames]
    assert peaks[0] > peaks[1] > peaks[2] > 0
    assert peaks[3] == peaks[4] == 0


def test_real_audio_comes_back_without_a_step() -> None:
    concealer, expected = primed()
    concealer.accept(concealer.conceal(ROW))
    pcm = np.full((1, 160), 5000, np.int16)
    concealer.recover(pcm, np.array([True]))
    assert abs(int(pcm[0, 0])) < 5000, "it begins near the concealment"
    assert (pcm[0, 40:] == 5000).all(), "and is itself after 5 ms"
    assert len(expected) > 160


def test_rows_are_concealed_alone_as_in_company() -> None:
    alone, _ = primed(130.0)
    company, _ = primed(130.0, rows=4)
    np.testing.assert_array_equal(alone.conceal(ROW)[0], company.conceal(np.array([1, 3]))[1])


def test_a_reset_row_has_nothing_to_repeat() -> None:
    concealer, _ = primed()
    concealer.reset(0)
    assert not concealer.conceal(ROW).any()
