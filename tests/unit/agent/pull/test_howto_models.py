"""Every command of docs/howto/models.md is run: against a server on this machine, with models made here."""

from __future__ import annotations

import hashlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from agent.cli import main
from agent.pull import command
from agent.pull.catalogue import CATALOGUE, Kind, PinnedFile
from agent.pull.download import Downloader
from agent.voice.engine import ClauseJob
from agent.voice.phonemes import data_folder
from agent.voice.pico import PicoEngine
from tests.unit.agent.model.parts.tiny_sherpa import tiny_sherpa
from tests.unit.agent.pull.pull_server import Files, serving
from tests.unit.agent.pull.test_archive import tar_of
from tests.unit.agent.transcribe.test_transcribe import write_wav
from tests.unit.agent.transcribe.tiny_whisper import tiny_whisper
from tests.unit.agent.voice.test_piper import HEAD
from tests.unit.agent.voice.tiny_models import tiny_kokoro, tiny_piper

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/howto/models.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
MAKERS = {Kind.SHERPA: tiny_sherpa, Kind.KOKORO: tiny_kokoro, Kind.PIPER: tiny_piper, Kind.WHISPER: tiny_whisper}
HOST = "https://models.example.org"

pytestmark = pytest.mark.skipif(
    data_folder() is None or find_spec("faster_whisper") is None or find_spec("sherpa_onnx") is None,
    reason="the extras kokoro, sherpa and whisper are not installed",
)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that has every model of the page, small; the page's files; an empty folder to run in."""
    made = {kind: maker(tmp_path / "made" / kind) for kind, maker in MAKERS.items()}
    files = Files(data={path.name: path.read_bytes() for folder in made.values() for path in folder.iterdir()})
    own = tar_of(
        tmp_path / "my-ears.tar.bz2", *[(p.name, p.read_bytes()) for p in made[Kind.SHERPA].iterdir()], mode="w:bz2"
    )
    files.data[own.name] = own.read_bytes()
    with serving(files) as base:
        for name, model in list(CATALOGUE.items()):
            if model.kind not in MAKERS:
                continue
            pins = tuple(_pin(base, path) for path in sorted(made[model.kind].iterdir()))
            monkeypatch.setitem(CATALOGUE, name, replace(model, files=pins))
        monkeypatch.setattr(command, "Downloader", lambda **_: Downloader(timeout_s=5.0, pause=lambda _s: None))
        monkeypatch.setattr("os.nice", lambda _by: 0)
        monkeypatch.chdir(tmp_path)
        _call(tmp_path / "var/recordings/CALL.wav")
        tiny_piper(tmp_path / "my-voice")
        (tmp_path / "piper").write_text(f"{HEAD}for line in sys.stdin:\n    write('1.wav'); told('1.wav')\n")
        (tmp_path / "piper").chmod(0o755)
        yield base


def _pin(base: str, path: Path) -> PinnedFile:
    data = path.read_bytes()
    return PinnedFile(
        name=path.name, url=f"{base}/{path.name}", size=len(data), sha256=hashlib.sha256(data).hexdigest()
    )


def _call(path: Path) -> None:
    pieces: list[np.ndarray] = []
    words = ("please", "tell", "me", "where", "my", "parcel", "is")
    PicoEngine("en-US").say(ClauseJob(words, ".", 0), lambda pcm, _times: bool(pieces.append(pcm) or True))
    speech = np.concatenate((np.zeros(8000, np.int16), *pieces, np.zeros(8000, np.int16)))
    path.parent.mkdir(parents=True)
    write_wav(path, speech, np.zeros(speech.size))


@pytest.mark.slow
def test_commands_of_the_page_do_what_it_says(world: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = hashlib.sha256((tmp_path / "my-ears.tar.bz2").read_bytes()).hexdigest()
    stands_for = {
        HOST: world,
        "SHA256": own,
        "/media/usb/whisper-tiny.en": str(tmp_path / "made/whisper"),
        "/opt/piper/bin/piper": str(tmp_path / "piper"),
    }
    shown: list[tuple[str, str]] = []
    for line in COMMANDS:
        if not line.startswith("crosstalk "):
            continue
        real = line
        for word, other in stands_for.items():
            real = real.replace(word, other)
        code = main(shlex.split(real)[1:])
        shown.append((line, capsys.readouterr().out))
        if " doctor " not in line:  # a taken port of this machine is no fault of the page
            assert code == 0, line
    said = "\n".join(out for _, out in shown)
    for model in ("zipformer-en", "kokoro-en", "piper-ljspeech-medium", "whisper-base.en", "my-ears", "my-voice"):
        assert f"{model} is ready: var/models/{model}" in said
    assert "✓ recogniser: sherpa: var/models/zipformer-en (loaded and tried)" in said
    assert "✓ voice: kokoro:af_heart: asked for by voice.engine" in said
    assert "✓ voice: piper:en_US-tone-low: asked for by voice.engine" in said
    assert re.search(r"\d:\d\d\.\d  caller  yes it works", said)
    assert (tmp_path / "var/recordings/CALL.wav.transcript.json").is_file()
    assert re.search(r"kokoro:af_heart .* %", said)
    (verified,) = [out for line, out in shown if line == "crosstalk pull --verify"]
    assert "damaged" not in verified
    assert verified.count("ready") == 8
    assert not (tmp_path / "var/models/whisper-tiny.en").exists()


def test_packages_of_the_page_are_extras() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"pip install 'crosstalk-voice\[(\w+)\]'", PAGE)
    assert set(named) == {"sherpa", "kokoro", "whisper"}
    assert set(named) <= set(extras)


def test_page_names_every_kind_and_only_models_that_there_are() -> None:
    assert {kind.value for kind in Kind} <= set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    pulled = re.findall(r"^crosstalk pull ([a-z][\w.-]+)", PAGE, re.MULTILINE)
    assert {name for name in pulled if not name.startswith("my-")} <= set(CATALOGUE)
