"""Recorded people: the right split, the right licence, trimmed and timed."""

from __future__ import annotations

import csv
import wave
from pathlib import Path

import numpy as np
import pytest

from agent.training.conversation.performance import human_digits
from agent.training.errors import TrainingError
from agent.training.fold import SPEAKERS_HELD_OUT, Fold, held_out
from agent.training.voices.human import HumanBank

COLUMNS = ("path", "split", "kind", "text", "speaker", "seconds", "source", "licence")
SPEAKERS = [f"s{index}" for index in range(40)]
IN_TRAINING = next(name for name in SPEAKERS if not held_out(name, SPEAKERS_HELD_OUT))
HELD = next(name for name in SPEAKERS if held_out(name, SPEAKERS_HELD_OUT))
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def clip(folder: Path, name: str) -> str:
    """A noisy recording with half a second of louder noise in its middle."""
    rng = np.random.default_rng(len(name))
    pcm = 20 * rng.standard_normal(8000)
    pcm[2000:6000] += 3000 * rng.standard_normal(4000)
    with wave.open(str(folder / name), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(pcm.astype("<i2").tobytes())
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [(clip(tmp_path, f"{d}.wav"), "train", "digit", d, IN_TRAINING, "1.0", "x", "CC BY-SA 4.0") for d in DIGITS]
    rows += [
        (clip(tmp_path, "yes.wav"), "train", "word", "Yes.", IN_TRAINING, "1.0", "x", "CC BY 4.0"),
        (clip(tmp_path, "held.wav"), "train", "word", "no", HELD, "1.0", "x", "CC BY 4.0"),
        (
            clip(tmp_path, "read.wav"),
            "train",
            "sentence",
            "It was 3 o'clock",
            IN_TRAINING,
            "1.0",
            "LibriSpeech",
            "CC BY 4.0",
        ),
        ("absent.wav", "dev", "word", "no", IN_TRAINING, "1.0", "x", "CC BY 4.0"),
        ("absent.wav", "test", "word", "no", IN_TRAINING, "1.0", "x", "CC BY 4.0"),
    ]
    with (tmp_path / "manifest.csv").open("w", newline="") as out:
        csv.writer(out).writerows([COLUMNS, *rows])
    return tmp_path


def test_only_training_speakers_of_the_training_split_are_opened(folder: Path) -> None:
    bank = HumanBank(folder, Fold.TRAIN)
    assert {found.speaker for found in bank.clips} == {IN_TRAINING}
    assert not any(found.path.name == "absent.wav" for found in bank.clips)
    assert [found.path.name for found in HumanBank(folder, Fold.VALID).clips] == ["held.wav"]


def test_a_build_without_share_alike_leaves_those_clips_out(folder: Path) -> None:
    bank = HumanBank(folder, Fold.TRAIN, share_alike=False)
    assert not bank.digits
    assert len(bank.clips) == 2


def test_clips_are_trimmed_against_their_own_noise(folder: Path) -> None:
    bank = HumanBank(folder, Fold.TRAIN)
    said = bank.say(bank.saying["yes"][0])
    assert abs(said.pcm.size - 4000) <= 160
    assert [word.text for word in said.words] == ["yes"]
    assert said.exact is False


def test_sentences_that_were_cut_off_are_not_finished_and_numbers_are_words(folder: Path) -> None:
    bank = HumanBank(folder, Fold.TRAIN)
    assert [found.finished for found in bank.read] == [False]
    assert bank.read[0].text == "it was three o'clock"


def test_digits_of_one_speaker_are_strung_together_with_pauses(folder: Path) -> None:
    bank = HumanBank(folder, Fold.TRAIN)
    assert [*bank.digit_speakers()] == [IN_TRAINING]
    rng = np.random.default_rng(0)
    said = human_digits(["one two", "three oh"], IN_TRAINING, bank, rng)
    assert [word.text for word in said.words] == ["one", "two", "three", "zero"]
    gaps = [b[0] - a[1] for a, b in zip(said.speech[:-1], said.speech[1:], strict=True)]
    assert max(gaps) >= 1600
    assert said.finished


def test_a_folder_without_a_manifest_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"needs a manifest.csv"):
        HumanBank(tmp_path, Fold.TRAIN)
    (tmp_path / "manifest.csv").write_text("path,kind\n")
    with pytest.raises(TrainingError, match="needs the columns"):
        HumanBank(tmp_path, Fold.TRAIN)
