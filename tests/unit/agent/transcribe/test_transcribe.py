"""Transcripts: the real library on a Whisper made here, real speech in the recording, and wrong files of each kind."""

from __future__ import annotations

import json
import sys
import wave
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from agent.cli import main
from agent.transcribe.errors import TranscriptFailed
from agent.transcribe.recording import read_recording
from agent.transcribe.said import Word, as_text, conversation
from agent.transcribe.whisper import Whisper, words_of
from agent.voice.engine import ClauseJob
from agent.voice.pico import PicoEngine
from tests.unit.agent.transcribe.tiny_whisper import tiny_whisper

needs_whisper = pytest.mark.skipif(find_spec("faster_whisper") is None, reason="faster-whisper is not installed")


def write_wav(path: Path, *channels: np.ndarray, rate_hz: int = 8000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.stack(channels, axis=1).astype("<i2").tobytes())
    return path


@pytest.fixture(autouse=True)
def _at_our_own_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command takes a lower one, which nobody can give back."""
    monkeypatch.setattr("os.nice", lambda _by: 0)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Two seconds of a voice at 8 kHz, in which words can be found."""
    pieces: list[np.ndarray] = []
    words = ("yes", "it", "works", "and", "it", "will", "work", "tomorrow")
    PicoEngine("en-US").say(ClauseJob(words, ".", 0), lambda pcm, _times: bool(pieces.append(pcm) or True))
    return np.concatenate(pieces)[:16_000]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper(tmp_path_factory.mktemp("whisper"))


# --- the recording ---


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 32_000, 48_000])
def test_channels_are_speakers_at_one_rate(tmp_path: Path, rate_hz: int) -> None:
    at = np.arange(rate_hz) / rate_hz
    tone = 8000 * np.sin(2 * np.pi * 440 * at)
    sounds = read_recording(write_wav(tmp_path / "a.wav", tone, 0 * tone, rate_hz=rate_hz))
    assert list(sounds) == ["caller", "agent"]
    assert sounds["caller"].shape == (16_000,)
    assert sounds["caller"].dtype == np.float32
    spectrum = np.abs(np.fft.rfft(sounds["caller"]))
    assert abs(int(spectrum.argmax()) - 440) <= 1
    assert abs(float(np.abs(sounds["caller"][2000:-2000]).max()) - 8000 / 32768) < 0.02
    assert not sounds["agent"].any()


def test_one_channel_is_the_call_and_an_empty_one_is_nothing(tmp_path: Path) -> None:
    assert read_recording(write_wav(tmp_path / "a.wav", np.zeros(0)))["call"].size == 0


def _cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.write_bytes(b""), "no WAV file"),
        (lambda path: path.write_bytes(b"RIFF" + bytes(100)), "no WAV file"),
        (lambda path: _cut(path, 30), "no WAV file"),
        (lambda path: path.unlink(), "no WAV file"),
        (lambda path: write_wav(path, *[np.zeros(10)] * 3), "3 channels of 16 bits at 8000 Hz; wanted are"),
        (lambda path: write_wav(path, np.zeros(10), rate_hz=44_100), "at 44100 Hz; wanted are"),
    ],
)
def test_files_that_are_no_recording_are_named(tmp_path: Path, damage: Callable[[Path], object], told: str) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros(100), np.zeros(100))
    damage(path)
    with pytest.raises(TranscriptFailed, match=rf"a\.wav.*{told}"):
        read_recording(path)


def test_recording_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.ones(8000), np.ones(8000))
    _cut(path, 44 + 4 * 4000 + 3)
    assert read_recording(path)["caller"].size == 8000


# --- the conversation ---


def word(text: str, start_s: float, end_s: float) -> Word:
    return Word(text=text, start_s=start_s, end_s=end_s, probability=0.5)


def test_words_become_lines_in_the_order_in_which_people_spoke() -> None:
    said = conversation(
        {
            "caller": [word("hello", 0.0, 0.5), word("there.", 0.6, 1.0), word("Yes.", 2.5, 3.0)],
            "agent": [word("What", 1.2, 1.4), word("is", 1.4, 1.5), word("it?", 2.2, 2.4)],
        }
    )
    assert as_text(said) == "0:00.0  caller  hello there.\n0:01.2  agent   What is it?\n0:02.5  caller  Yes."
    assert said[0].confidence == 0.5
    assert said[1].to_json()["end_s"] == 2.4
    assert conversation({}) == []
    assert as_text([]) == ""


def test_long_calls_have_a_clock() -> None:
    assert as_text(conversation({"agent": [word("bye", 3661.26, 3662.0)]})).startswith("61:01.3  agent")


# --- the model ---


def test_parts_of_words_become_words() -> None:
    parts = [
        SimpleNamespace(word=text, start=start, end=start + 0.2, probability=sure)
        for text, start, sure in ((" Mm", 1.0, 0.9), ("-hmm.", 1.2, 0.4), (" ", 1.4, 0.1), (" Yes.", 2.0, 0.8))
    ]
    assert words_of(parts) == [
        Word(text="Mm-hmm.", start_s=1.0, end_s=1.4, probability=0.4),
        Word(text="Yes.", start_s=2.0, end_s=2.2, probability=0.8),
    ]


@needs_whisper
def test_speech_is_found_where_it_is_and_silence_says_nothing(
    model: Path, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    caller = np.concatenate((np.zeros(24_000), speech, np.zeros(8000)))
    path = write_wav(tmp_path / "call.wav", caller, np.zeros(caller.size))
    assert main(["transcribe", str(path), "--model", str(model), "--json", "--write"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    (line,) = result["said"]
    assert (line["speaker"], line["text"]) == ("caller", "yes it works")
    assert abs(line["start_s"] - 3.0) < 0.35
    assert [w["text"] for w in line["words"]] == ["yes", "it", "works"]
    assert result["seconds"] == 6.0
    kept = json.loads((tmp_path / "call.wav.transcript.json").read_text())
    assert kept["said"] == result["said"]
    assert main(["transcribe", str(path), "--model", str(model), "--only", "agent"]) == 0
    assert capsys.readouterr().out == f"{path} (6.0 s)\nnobody said anything\n"


@needs_whisper
def test_noise_and_nothing_are_not_words(model: Path) -> None:
    whisper = Whisper(model)
    noise = np.random.default_rng(1).standard_normal(32_000).astype(np.float32) * 0.1
    assert whisper.words(noise, None) == []
    assert whisper.words(np.zeros(0, np.float32), None) == []


@needs_whisper
@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
@pytest.mark.parametrize("share", [0.1, 0.9])
def test_truncated_models_are_named(tmp_path: Path, name: str, share: float) -> None:
    folder = tiny_whisper(tmp_path / "w")
    _cut(folder / name, int(share * (folder / name).stat().st_size))
    with pytest.raises(TranscriptFailed, match="cannot be loaded"):
        Whisper(folder)


@needs_whisper
@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_missing_and_wrong_files_are_named(tmp_path: Path, name: str) -> None:
    folder = tiny_whisper(tmp_path / "w")
    (folder / name).write_bytes(b"<html>" * 100)
    with pytest.raises(TranscriptFailed, match="cannot be loaded"):
        Whisper(folder)
    (folder / name).unlink()
    with pytest.raises(TranscriptFailed, match=f"lacks .*{name}"):
        Whisper(folder)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["/nowhere.wav", "--model", "x"], "/nowhere.wav is not a file"),
        ([__file__, "--model", "/nowhere"], "/nowhere is not a folder with a model"),
        ([__file__, "--model", str(Path(__file__).parent)], "is no Whisper model: it lacks model.bin"),
    ],
)
def test_command_tells_what_is_wrong(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transcribe", *arguments]) == 1
    printed = capsys.readouterr()
    assert told in printed.err
    assert not printed.out


def test_package_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(TranscriptFailed, match=r"pip install 'crosstalk-voice\[whisper\]'"):
        Whisper(tmp_path)
