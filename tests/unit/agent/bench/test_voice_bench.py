"""The bench of voices: figures of real engines, and a listener's errors."""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from agent.bench.voice import distance, run_voice_bench, table
from agent.bench.voice_arguments import voice_spec
from agent.cli import main
from agent.config import VoiceConfig
from tests.unit.agent.transcribe.tiny_whisper import tiny_whisper

SENTENCES = ("Your parcel is here.", "Yes, it works.")


@pytest.mark.parametrize(
    ("text", "engine", "name", "model"),
    [
        ("pico", "pico", "", ""),
        ("flite:rms", "flite", "rms", ""),
        ("kokoro:af_heart@kokoro-en", "kokoro", "af_heart", "kokoro-en"),
        ("piper@/models/joe", "piper", "", "/models/joe"),
    ],
)
def test_voice_is_named_with_speaker_and_model(text: str, engine: str, name: str, model: str) -> None:
    assert voice_spec(text) == VoiceConfig(engine=engine, name=name, model=model)


@pytest.mark.parametrize("text", ["", ":rms", "@model", "Flite:rms"])
def test_names_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="ENGINE"):
        voice_spec(text)


@pytest.mark.parametrize(
    ("wanted", "got", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "a c", 1),
        ("a c", "a b c", 1),
        ("a b", "", 2),
        ("", "a", 1),
    ],
)
def test_word_errors_are_the_fewest_changes(wanted: str, got: str, errors: int) -> None:
    assert distance(wanted.split(), got.split()) == errors


def test_costs_of_a_real_voice_are_told(tmp_path: Path) -> None:
    pico = (VoiceConfig(engine="pico"),)
    result = run_voice_bench(pico, models=tmp_path, listener="", program="piper", sentences=SENTENCES)
    (row,) = result["voices"]
    assert row["voice"] == "pico:en-US"
    assert 0 < row["cpu_s_per_s"] < 2
    assert row["first_clause_cpu_ms"] > 0
    assert "pico:en-US" in table(result)


@pytest.mark.skipif(find_spec("faster_whisper") is None, reason="faster-whisper is not installed")
def test_listener_is_held_to_every_word(tmp_path: Path) -> None:
    tiny_whisper(tmp_path / "ears")  # it hears "yes it works" in everything
    pico = (VoiceConfig(engine="pico"),)
    listener = str(tmp_path / "ears")
    result = run_voice_bench(pico, models=tmp_path, listener=listener, program="piper", sentences=SENTENCES)
    assert result["voices"][0]["words"] == 7
    assert result["voices"][0]["word_errors_percent"] == round(100 * 4 / 7, 1)


def test_voice_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "voice", "--voice", "kokoro@/nowhere"]) == 2
    assert "kokoro cannot be had" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["bench", "voice", "--voice", "?"])


def test_figures_come_as_one_object(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.bench.voice.run_voice_bench", lambda *_, **__: {"voices": []})
    assert main(["bench", "voice", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"voices": []}
