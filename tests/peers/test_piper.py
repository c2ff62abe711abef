"""The program Piper speaks for us, with a voice made here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from agent.errors import VoiceFailed
from agent.voice.client import ProcessVoice
from agent.voice.engine import ClauseJob
from agent.voice.piper import PiperEngine
from tests.peers.programs import require
from tests.unit.agent.voice.tiny_models import tiny_piper

pytestmark = pytest.mark.peer
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def piper() -> str:
    """The program in an environment of its own (``tests/peers/install.sh``): nothing of it can be imported by us."""
    own = ROOT / ".venv-piper/bin/piper"
    return str(own) if own.is_file() else require("piper")


def test_program_speaks_clause_by_clause(piper: str, tmp_path: Path) -> None:
    engine = PiperEngine(str(tiny_piper(tmp_path / "voice")), piper)
    sizes = []
    try:
        for words in (("your", "parcel", "is", "here"), ("yes",)):
            engine.say(
                ClauseJob(words, ".", 0),
                lambda pcm, times: bool(sizes.append((pcm.size, len(times or ()), int(np.abs(pcm).max()))) or True),
            )
    finally:
        engine.close()
    (long, words, peak), (short, one, _) = sizes
    assert (words, one) == (4, 1)
    assert long > 2 * short > 2000
    assert 12_000 < peak < 19_000


def test_voice_that_is_truncated_is_told_by_the_programs_own_words(piper: str, tmp_path: Path) -> None:
    folder = tiny_piper(tmp_path / "voice")
    model = folder / "en_US-tone-low.onnx"
    model.write_bytes(model.read_bytes()[:200])
    engine = PiperEngine(str(folder), piper)
    try:
        with pytest.raises(VoiceFailed, match=r"piper has ended: .*(InvalidProtobuf|INVALID_PROTOBUF|failed)"):
            engine.say(ClauseJob(("yes",), ".", 0), lambda _pcm, _times: True)
    finally:
        engine.close()


async def test_voice_process_survives_the_death_of_the_program(piper: str, tmp_path: Path) -> None:
    voice = ProcessVoice("piper", "", model=str(tiny_piper(tmp_path / "voice")), program=piper, cache_phrases=0)
    await voice.start()
    try:
        (worker,) = voice._workers
        for _ in range(2):
            chunks = [chunk async for chunk in voice.speak("Yes, it is here.")]
            assert sum(chunk.pcm.size for chunk in chunks) > 2000
            for pid in _children(worker.pid):
                _kill(pid)
    finally:
        await voice.stop()


def test_program_ends_with_the_voice_process(piper: str, tmp_path: Path) -> None:
    code = (
        "import sys, time; from agent.voice.piper import PiperEngine; from agent.voice.engine import ClauseJob\n"
        "engine = PiperEngine(*sys.argv[1:]); engine.say(ClauseJob(('yes',), '.', 0), lambda *_: True)\n"
        "print(engine._process._popen.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tiny_piper(tmp_path / "voice")), piper]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "piper outlived the voice process"
        time.sleep(0.05)


def test_program_is_not_where_we_could_import_it() -> None:
    code = "import importlib.util, json; print(json.dumps(importlib.util.find_spec('piper') is None))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is True


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
