from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from agent.simulator.clips import ClipError, SpeechFolder, active_level, at_level, clip_of, read_audio, silence, trimmed
from agent.simulator.energy import stem_spans
from agent.simulator.render import stretched
from agent.simulator.sounds import noise, tic


def tone(seconds: float, amplitude: float = 6000) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 8000)) / 8000)).astype(np.int16)


def test_a_clip_knows_its_speech_and_is_whole_packets() -> None:
    clip = clip_of(np.concatenate([silence(0.1), tone(0.51), silence(0.2)]))
    assert (clip.span.start, clip.span.end) == pytest.approx((0.1, 0.61), abs=0.011)
    assert len(clip.pcm) % 160 == 0
    assert clip.holds == ()


def test_silence_is_no_clip() -> None:
    with pytest.raises(ClipError):
        clip_of(silence(1.0))


def test_level_is_that_of_the_speech_not_of_its_pauses() -> None:
    pcm = np.concatenate([tone(0.5, 2000), silence(2.0)])
    assert active_level(at_level(pcm, -20.0)) == pytest.approx(-20.0, abs=0.2)


def test_trimming_takes_the_silence_around() -> None:
    assert len(trimmed(np.concatenate([silence(1.0), tone(0.5), silence(1.0)]))) == pytest.approx(0.54 * 8000, abs=80)


@pytest.mark.parametrize("kind", ["cough", "throat", "um", "breath", "laugh"])
def test_every_tic_is_audible_and_differs_by_its_draw(kind: str) -> None:
    first, second = tic(kind, np.random.default_rng(1)), tic(kind, np.random.default_rng(2))
    assert stem_spans(first)
    assert not np.array_equal(first[:800], second[:800])
    assert np.array_equal(first, tic(kind, np.random.default_rng(1)))


@pytest.mark.parametrize("kind", ["babble", "white", "street", "tv"])
def test_noise_has_the_length_asked_for(kind: str) -> None:
    assert len(noise(kind, 0.5, np.random.default_rng(1))) == 4000


def test_stretching_changes_the_length_and_not_the_pitch() -> None:
    slow = stretched(tone(1.0), 1.3)
    assert len(slow) == pytest.approx(1.3 * 8000, abs=2)
    middle = slow[2000:6000].astype(float)
    peak_hz = np.argmax(np.abs(np.fft.rfft(middle * np.hanning(4000)))) * 2
    assert peak_hz == pytest.approx(440, abs=10)


def test_a_stereo_wav_at_another_rate_becomes_telephone_audio(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(16000)
        mono = (6000 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype("<i2")
        out.writeframes(np.repeat(mono, 2).tobytes())
    pcm = read_audio(path)
    assert len(pcm) == 8000
    assert active_level(pcm) == pytest.approx(20 * np.log10(6000 / 32768 / 2**0.5), abs=0.5)


@pytest.mark.parametrize("blob", [b"", b"RIFF", b"RIFF\0\0\0\0WAVEjunk", b"hello" * 100])
def test_what_is_no_wav_is_a_clip_error(tmp_path: Path, blob: bytes) -> None:
    (tmp_path / "x.wav").write_bytes(blob)
    with pytest.raises(ClipError, match=r"x\.wav"):
        read_audio(tmp_path / "x.wav")


def test_a_speech_folder_gives_clips_by_kind_and_split(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(
        "path,split,kind,text\na.wav,dev,noise,\nb.wav,train,noise,\nc.wav,dev,backchannel,mhm\n"
    )
    folder = SpeechFolder.open(tmp_path)
    assert folder.of("noise") == [(tmp_path / "a.wav", "")]
    assert folder.of("backchannel") == [(tmp_path / "c.wav", "mhm")]


def test_a_folder_without_a_manifest_is_a_clip_error(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="manifest"):
        SpeechFolder.open(tmp_path)
