"""Piper's faults, by a program that stands in for it; the program itself speaks in ``tests/peers/test_piper.py``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent.config import VoiceConfig
from agent.errors import ConfigError, VoiceFailed
from agent.voice import piper
from agent.voice.choose import choose
from agent.voice.engine import ClauseJob
from agent.voice.piper import PiperEngine
from tests.unit.agent.voice.tiny_models import tiny_piper

JOB = ClauseJob(("your", "parcel"), ".", 0)
HEAD = f"""#!{sys.executable}
import os, sys, time, wave
folder = sys.argv[sys.argv.index("--output-dir") + 1]
count = 0
def write(name, seconds=0.5, rate=22050, width=2, value=b"\\x00\\x20\\x00\\xe0"):
    with wave.open(os.path.join(folder, name), "wb") as sound:
        sound.setframerate(rate); sound.setsampwidth(width); sound.setnchannels(1)
        sound.writeframes(value * int(seconds * rate * width / 4))
def told(name, to=sys.stderr):
    print("INFO:__main__:Wrote " + os.path.join(folder, name), file=to, flush=True)
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    def write(body: str) -> str:
        path = tmp_path / "piper"
        path.write_text(HEAD + body)
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(tiny_piper(tmp_path / "voice"))


def say(engine: PiperEngine) -> np.ndarray:
    got: list[np.ndarray] = []
    engine.say(JOB, lambda pcm, _times: bool(got.append(pcm) or True))
    return got[0]


@pytest.mark.parametrize("to", ["sys.stderr", "sys.stdout"])
def test_each_line_becomes_a_file_that_is_read_and_deleted(
    program: Callable[[str], str], model: str, tmp_path: Path, to: str
) -> None:
    body = f"""
print("INFO: loading /somewhere/else.wav", file={to}, flush=True)
for line in sys.stdin:
    open({str(tmp_path / "heard")!r}, "a").write(line)
    count += 1
    write(f"{{count}}.wav"); told(f"{{count}}.wav", {to})
"""
    engine = PiperEngine(model, program(body))
    try:
        for _ in range(3):
            assert abs(say(engine).size - 4000) < 300
        assert (tmp_path / "heard").read_text() == "your parcel.\n" * 3
        assert list(Path(engine._folder.name).iterdir()) == []
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("print('ValueError: Unable to find voice', file=sys.stderr); sys.exit(1)", "Unable to find voice"),
        ("sys.stdin.readline(); sys.exit(1)", "piper has ended: it said nothing"),
        ("sys.stdin.readline(); told('1.wav')\nsys.stdin.readline()", "cannot be read"),
        (
            "sys.stdin.readline(); open(os.path.join(folder, '1.wav'), 'w').write('RIFF'); told('1.wav')\nsys.stdin.readline()",
            "cannot be read",
        ),
        ("sys.stdin.readline(); write('1.wav', width=1); told('1.wav')\nsys.stdin.readline()", "not mono with 16 bits"),
        ("sys.stdin.readline(); write('1.wav', value=bytes(4)); told('1.wav')\nsys.stdin.readline()", "gave no audio"),
        ("sys.stdin.readline(); sys.stdin.readline()", "piper said nothing within"),
    ],
)
def test_faults_are_told_and_the_next_clause_has_a_new_process(
    program: Callable[[str], str], model: str, body: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piper, "START_S", 0.0)
    monkeypatch.setattr(piper, "CLAUSE_S", 1.0 if "nothing within" in told else 10.0)
    path = program(body)
    engine = PiperEngine(model, path)
    try:
        with pytest.raises(VoiceFailed, match=told):
            say(engine)
        monkeypatch.setattr(piper, "CLAUSE_S", 10.0)
        program("for line in sys.stdin:\n    write('1.wav'); told('1.wav')\n")
        assert say(engine).size > 3000
    finally:
        engine.close()


def test_process_that_dies_between_clauses_is_not_missed(program: Callable[[str], str], model: str) -> None:
    engine = PiperEngine(model, program("sys.stdin.readline(); write('1.wav'); told('1.wav')\n"))
    try:
        for _ in range(3):
            say(engine)
            assert engine._process is not None
            engine._process._popen.wait(10)
    finally:
        engine.close()


def test_missing_parts_are_named(program: Callable[[str], str], model: str, tmp_path: Path) -> None:
    path = program("")
    with pytest.raises(VoiceFailed, match="the program 'no-such-piper' is not here"):
        PiperEngine(model, "no-such-piper")
    with pytest.raises(VoiceFailed, match="is not a folder"):
        PiperEngine(str(tmp_path / "nowhere"), path)
    (Path(model) / "en_US-tone-low.onnx.json").unlink()
    with pytest.raises(VoiceFailed, match=r"holds no en_US-tone-low\.onnx\.json"):
        PiperEngine(model, path)
    (Path(model) / "en_US-tone-low.onnx").unlink()
    with pytest.raises(VoiceFailed, match=r"holds no \*\.onnx"):
        PiperEngine(model, path)


def test_configuration_chooses_the_voice_of_the_model(program: Callable[[str], str], model: str) -> None:
    path = program("")
    choice = choose(VoiceConfig(engine="piper", model=model, program=path))
    assert choice.label == "piper:en_US-tone-low"
    with pytest.raises(ConfigError, match=r"voice\.name: a piper voice is chosen by voice\.model"):
        choose(VoiceConfig(engine="piper", model=model, program=path, name="x"))
    with pytest.raises(ConfigError, match="the program 'no-such-piper' is not here"):
        choose(VoiceConfig(engine="piper", model=model, program="no-such-piper"))
