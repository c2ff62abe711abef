"""Silero, levels, echo and their combination, on synthetic sound and short rendered words."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.model.parts import silero as silero_module
from agent.model.parts.echo import NEVER_DB, EchoGuard
from agent.model.parts.levels import LOWEST_DB, Levels, frame_levels
from agent.model.parts.silero import Silero, open_session
from agent.model.parts.upsample import Upsampler
from agent.model.parts.vad import SpeechDetector

DATA = Path(__file__).parents[4] / "data" / "speech"
STEP = 160


@pytest.fixture(scope="module")
def session() -> Any:
    return open_session()


def clip(name: str) -> NDArray[np.int16]:
    with wave.open(str(DATA / name)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def padded(name: str, *, before_ms: int = 500, after_ms: int = 500, seed: int = 1) -> NDArray[np.float32]:
    sound = clip(name).astype(np.float32) / 32768
    line = np.concatenate([np.zeros(before_ms * 8), sound, np.zeros(after_ms * 8)])
    line += np.random.default_rng(seed).normal(0, 3e-4, len(line))
    return line[: len(line) // STEP * STEP].astype(np.float32)


def test_a_changed_model_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silero_module, "MODEL_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="sha256"):
        silero_module.load_model()


def test_rows_in_a_batch_score_as_alone_whatever_their_phase(session: Any) -> None:
    line = padded("ears_parcel_awb.wav")
    alone, batch = Silero(1, session), Silero(3, session)
    first, all_rows = np.array([0]), np.array([0, 1, 2])
    highest = 0.0
    noise = np.random.default_rng(3).normal(0, 0.1, (3, STEP)).astype(np.float32)
    batch.step(noise, all_rows)
    batch.reset(np.array([1]))
    for at in range(0, 100 * STEP, STEP):
        piece = line[at : at + STEP]
        alone.step(piece[None], first)
        batch.step(np.stack([noise[0], piece, noise[2]]), all_rows)
        assert batch.score[1] == pytest.approx(alone.score[0], abs=1e-4)
        highest = max(highest, float(alone.score[0]))
    assert highest > 0.5


def test_silero_forgets_only_after_long_silence(session: Any) -> None:
    class Counting:
        quiet = True

        def run(self, _: None, feeds: dict[str, NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            rows = len(feeds["input"])
            score = np.full((rows, 1), 0.05 if self.quiet else 0.9, np.float32)
            return score, feeds["state"] + 1

    fake = Counting()
    rows, seen = Silero(1, fake), []
    for at in range(160):
        fake.quiet = at > 80
        rows.step(np.zeros((1, 256), np.float32), np.array([0]))
        seen.append(float(rows.save(0)["silero_state"].max()))
    assert seen.index(0.0) == 85  # past 2 s already: the fifth quiet window after speech resets
    assert seen[84] == 85.0


def test_frames_are_measured_in_dbfs() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(160) / 8000).astype(np.float32)[None]
    assert frame_levels(tone)[0] == pytest.approx([-3.01, -3.01], abs=0.01)


def test_the_noise_floor_falls_fast_and_rises_slowly_under_speech() -> None:
    levels, rows = Levels(2), np.array([0, 1])
    for _ in range(100):
        levels.learn(np.full((2, 2), -40.0, np.float32), rows, np.array([True, False]))
    assert levels.noise_db[0] < -60 < -41 < levels.noise_db[1]
    levels.learn(np.full((2, 2), -80.0, np.float32), rows, np.array([False, False]))
    assert levels.noise_db[1] < -55


@pytest.mark.parametrize("name", ["ears_stop_rms.wav", "ears_okay_rms.wav", "ears_parcel_awb.wav"])
@pytest.mark.parametrize(("speaking", "onset_ms"), [(True, 40), (False, 160)])
def test_onset_and_offset_are_known_in_time(session: Any, name: str, speaking: bool, onset_ms: int) -> None:
    line = padded(name)
    ends = len(line) // 8 - 500
    detector, rows = SpeechDetector(1, session), np.array([0])
    heard, silences = [], []
    for at in range(0, len(line), STEP):
        found = detector.step(line[None, at : at + STEP], rows, np.array([speaking]))
        heard.append(found.p_speech[0] >= 0.5)
        silences.append(int(found.silence_ms[0]))
    began = (heard.index(True) + 1) * 20
    assert 500 <= began <= 500 + onset_ms
    over = len(line) // 8 - silences[-1]
    assert abs(over - ends) <= 70
    assert not any(heard[(ends + 140) // 20 :])


def test_a_burst_of_noise_opens_speech_provisionally_and_is_then_refused(session: Any) -> None:
    rng = np.random.default_rng(5)
    line = rng.normal(0, 3e-4, 16000)
    line[4000:12000] += rng.normal(0, 0.1, 8000)
    detector, rows = SpeechDetector(1, session), np.array([0])
    heard = [
        bool(detector.step(line[None, at : at + STEP].astype(np.float32), rows, np.array([True])).p_speech[0] >= 0.5)
        for at in range(0, len(line), STEP)
    ]
    assert heard[25]
    assert sum(heard) <= 12
    assert not any(heard[40:])


def test_a_copy_of_our_own_voice_is_never_the_caller() -> None:
    own = clip("ears_parcel_awb.wav")[:8000]
    echo = np.concatenate([np.zeros(1200), 0.1 * own[:-1200]]).round().astype(np.int16)
    guard, rows = EchoGuard(1), np.array([0])
    for at in range(0, 8000, STEP):
        limit = guard.step(echo[None, at : at + STEP], own[None, at : at + STEP], rows)[0]
        heard = frame_levels(echo[None, at : at + STEP].astype(np.float32) / 32768).max()
        assert heard < max(limit, -55.0)
    assert 15 < guard.loss_db[0] < 30


def test_a_caller_over_our_voice_is_not_taken_for_echo() -> None:
    own, caller = clip("ears_digits_rms.wav")[:8000], clip("ears_parcel_awb.wav")[:8000]
    guard, rows = EchoGuard(1), np.array([0])
    limits = [
        guard.step(caller[None, at : at + STEP], own[None, at : at + STEP], rows)[0] for at in range(0, 8000, STEP)
    ]
    assert max(limits) < NEVER_DB


def test_silence_of_ours_leaves_no_echo_limit() -> None:
    quiet = np.zeros((2, STEP), np.int16)
    assert (EchoGuard(2).step(quiet, quiet, np.array([0, 1])) == LOWEST_DB).all()


def test_upsampling_in_pieces_equals_upsampling_at_once() -> None:
    sound = clip("ears_stop_rms.wav")[:1600]
    pieces = Upsampler()
    joined = np.concatenate([pieces.process(sound[at : at + STEP]) for at in range(0, 1600, STEP)])
    assert np.abs(joined.astype(int) - Upsampler().process(sound)).max() <= 1
    assert len(joined) == 3200
