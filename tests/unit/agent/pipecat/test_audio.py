from __future__ import annotations

import numpy as np
import pytest

from agent.pipecat.audio import BLOCK, Intake, Trimmer
from agent.pipecat.pace import FIRST_PACE, Pace, measured, stamped
from agent.voice.shape import RATE_HZ


def tone(rate_hz: int, seconds: float) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    at = np.arange(int(rate_hz * seconds)) / rate_hz
    return (8000 * np.sin(2 * np.pi * 500 * at)).astype(np.int16)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 24000, 48000])
def test_audio_of_any_rate_in_any_pieces_becomes_the_same_telephone_audio(rate_hz: int) -> None:
    data = tone(rate_hz, 0.5).tobytes()
    whole, pieces = Intake(rate_hz), Intake(rate_hz)
    at_once = np.concatenate((whole.push(data), whole.flush()))
    bit_by_bit = np.concatenate(
        [*(pieces.push(data[at : at + 333]) for at in range(0, len(data), 333)), pieces.flush()]
    )
    assert np.array_equal(at_once, bit_by_bit)
    assert abs(at_once.size - RATE_HZ // 2) <= 2 * BLOCK
    middle = at_once[800:3200].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(middle))
    assert int(np.argmax(spectrum)) * RATE_HZ // len(middle) == pytest.approx(500, abs=5)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(8000 / np.sqrt(2), rel=0.05)


def test_silence_is_left_out_at_the_edges_and_kept_between_words() -> None:
    quiet, sound = np.zeros(20 * BLOCK, np.int16), tone(RATE_HZ, 0.2)
    trimmer = Trimmer()
    kept = np.concatenate([*(trimmer.push(piece) for piece in (quiet, sound, quiet, sound, quiet)), trimmer.flush()])
    assert 20 * BLOCK + 2 * sound.size <= kept.size <= 20 * BLOCK + 2 * sound.size + 5 * BLOCK


def test_a_clause_of_silence_is_nothing() -> None:
    trimmer = Trimmer()
    assert trimmer.push(np.zeros(50 * BLOCK, np.int16)).size == 0
    assert trimmer.flush().size == 0


def test_the_pace_is_learnt_from_what_was_spoken() -> None:
    pace, spoken = Pace(), ("where", "is", "my", "parcel")
    slow = round(1.5 * pace.expected(spoken))
    for _ in range(20):
        pace.learn(spoken, slow)
    assert pace.expected(spoken) == pytest.approx(slow, rel=0.01)
    pace.learn(spoken, 10**9)  # a service that babbled must not spoil the next guess
    assert pace.expected(spoken) < FIRST_PACE * 100


def test_guessed_and_measured_times_are_ordered_and_one_for_each_word() -> None:
    spoken = ("two hundred", "and,", "three", "pounds")
    pcm = tone(RATE_HZ, 1.0)
    for times in (Pace().guess(spoken), measured(spoken, pcm)):
        assert len(times) == len(spoken)
        edges = [edge for word in times for edge in word]
        assert edges == sorted(edges)
    assert measured(spoken, pcm)[-1][1] == pcm.size


def test_stamps_of_the_service_are_taken_only_when_there_is_one_for_each_word() -> None:
    assert stamped(2, [100, 900], 1000) == ((100, 900), (900, 1000))
    assert stamped(3, [100, 900], 1000) is None
    assert stamped(2, [900, 5000], 1000) == ((900, 1000), (1000, 1000))
