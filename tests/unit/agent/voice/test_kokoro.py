"""Kokoro: real loading on models made here, and every way in which files can be wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from agent.config import VoiceConfig
from agent.errors import ConfigError, VoiceFailed
from agent.voice import kokoro
from agent.voice.choose import choose
from agent.voice.client import ProcessVoice
from agent.voice.engine import ClauseJob
from agent.voice.kokoro import KokoroEngine, missing, voice_names
from agent.voice.phonemes import Lexicon, data_folder
from tests.unit.agent.voice.tiny_models import tiny_kokoro

LEXICON = Lexicon({"yes": "jˈɛs"})
JOB = ClauseJob(("yes", "yes,", "yes"), ".", 0)
needs_misaki = pytest.mark.skipif(data_folder() is None, reason="misaki is not installed")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_kokoro(tmp_path / "kokoro")


def test_clause_is_spoken_with_times_of_its_words(model: Path) -> None:
    got: list[tuple[np.ndarray, object]] = []
    engine = KokoroEngine("af_heart", str(model), lexicon=LEXICON)
    engine.say(JOB, lambda pcm, times: bool(got.append((pcm, times)) or True))
    ((pcm, times),) = got
    tokens = len("jˈɛs jˈɛs, jˈɛs.") + 2
    assert pcm.dtype == np.int16
    assert abs(pcm.size - tokens * 800) < 400
    assert 10_000 < np.abs(pcm).max() < 19_000
    assert isinstance(times, tuple)
    assert len(times) == 3
    assert all(start <= end <= pcm.size for start, end in times)


def test_newer_exports_name_their_tokens_differently(tmp_path: Path) -> None:
    folder = tiny_kokoro(tmp_path / "k", tokens="input_ids")
    KokoroEngine("am_michael", str(folder), lexicon=LEXICON).say(JOB, lambda _pcm, _times: True)


def test_silent_model_and_unspeakable_clause_are_told(tmp_path: Path) -> None:
    engine = KokoroEngine("af_heart", str(tiny_kokoro(tmp_path / "k", loudness=0.0)), lexicon=LEXICON)
    with pytest.raises(VoiceFailed, match="gave no audio"):
        engine.say(JOB, lambda _pcm, _times: True)
    with pytest.raises(VoiceFailed, match="nothing to say"):
        engine.say(ClauseJob(("…",), "", 0), lambda _pcm, _times: True)
    broken = KokoroEngine("af_heart", str(tiny_kokoro(tmp_path / "n", loudness=float("nan"))), lexicon=LEXICON)
    with pytest.raises(VoiceFailed, match="no audio"):
        broken.say(JOB, lambda _pcm, _times: True)


def open_engine(folder: Path, name: str = "af_heart") -> None:
    KokoroEngine(name, str(folder), lexicon=LEXICON)


def test_missing_files_are_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(VoiceFailed, match="nothing is not a folder"):
        KokoroEngine("af_heart", "", lexicon=LEXICON)
    with pytest.raises(VoiceFailed, match="is not a folder; crosstalk pull kokoro-en"):
        open_engine(tmp_path / "nowhere")
    (model / "voices-v1.0.bin").rename(tmp_path / "v")
    with pytest.raises(VoiceFailed, match=r"holds no voices\*\.bin"):
        open_engine(model)
    (model / "kokoro-v1.0.int8.onnx").unlink()
    with pytest.raises(VoiceFailed, match=r"holds no \*\.onnx"):
        open_engine(model)


@pytest.mark.parametrize("name", ["kokoro-v1.0.int8.onnx", "voices-v1.0.bin"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_files_are_named(model: Path, name: str, share: float) -> None:
    data = (model / name).read_bytes()
    (model / name).write_bytes(data[: int(share * len(data))])
    with pytest.raises(VoiceFailed, match=rf"{name}.*truncated"):
        open_engine(model)


@pytest.mark.parametrize("name", ["kokoro-v1.0.int8.onnx", "voices-v1.0.bin"])
def test_files_of_another_kind_are_named(model: Path, name: str) -> None:
    (model / name).write_bytes(b"<html>Sign in to continue</html>" * 200)
    with pytest.raises(VoiceFailed, match=name):
        open_engine(model)


def test_another_model_is_no_kokoro(model: Path, tmp_path: Path) -> None:
    from tests.unit.agent.voice.tiny_models import tiny_piper

    other = tiny_piper(tmp_path / "p") / "en_US-tone-low.onnx"
    (model / "kokoro-v1.0.int8.onnx").write_bytes(other.read_bytes())
    with pytest.raises(VoiceFailed, match="is no Kokoro model: it takes input, input_lengths, scales"):
        open_engine(model)


def test_unknown_voice_and_styles_of_another_size_are_told(model: Path) -> None:
    with pytest.raises(VoiceFailed, match="has no voice 'bob'; known: af_heart, am_michael"):
        open_engine(model, "bob")
    with (model / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, af_heart=np.zeros((3, 128), np.float32))  # type: ignore[arg-type]
    with pytest.raises(VoiceFailed, match=r"has the shape \(3, 128\)"):
        open_engine(model)


def test_pickled_voices_are_not_unpickled(model: Path) -> None:
    with (model / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, af_heart=np.array([{"a": 1}], object))  # type: ignore[arg-type]
    with pytest.raises(VoiceFailed, match="no file of voices"):
        open_engine(model)


# --- chosen by the configuration ---


@needs_misaki
def test_configuration_chooses_voice_and_best_name(model: Path) -> None:
    choice = choose(VoiceConfig(engine="kokoro", model=str(model)))
    assert (choice.label, choice.model) == ("kokoro:af_heart", str(model))
    assert choose(VoiceConfig(engine="kokoro", model=str(model), name="am_michael")).name == "am_michael"
    with pytest.raises(ConfigError, match="kokoro has no voice 'rms'; known: af_heart, am_michael"):
        choose(VoiceConfig(engine="kokoro", model=str(model), name="rms"))
    with pytest.raises(ConfigError, match=r"voice\.engine: kokoro cannot be had: .*nowhere is not a folder"):
        choose(VoiceConfig(engine="kokoro", model="/nowhere"))


def test_dictionary_that_is_not_installed_is_told(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kokoro, "data_folder", lambda: None)
    assert missing(str(model)) == "its dictionary is not installed (package misaki)"
    with pytest.raises(VoiceFailed, match=r"pip install 'crosstalk-voice\[kokoro\]'"):
        KokoroEngine("af_heart", str(model))


def test_names_are_read_without_loading(model: Path) -> None:
    assert voice_names(str(model)) == ["af_heart", "am_michael"]


@needs_misaki
async def test_voice_process_speaks_with_a_model_of_the_users(model: Path) -> None:
    voice = ProcessVoice("kokoro", "", model=str(model))
    assert voice.info.name == "kokoro:af_heart"
    assert not voice.info.exact_word_times
    await voice.start()
    try:
        chunks = [chunk async for chunk in voice.speak("Yes, it is here.")]
    finally:
        await voice.stop()
    assert chunks[-1].last
    assert [span.text for chunk in chunks for span in chunk.words] == ["Yes,", "it", "is", "here."]


@needs_misaki
async def test_voice_process_tells_what_is_wrong_with_the_model(model: Path) -> None:
    graph = model / "kokoro-v1.0.int8.onnx"
    graph.write_bytes(graph.read_bytes()[:100])
    voice = ProcessVoice("kokoro", "", model=str(model))
    with pytest.raises(VoiceFailed, match=r"kokoro-v1\.0\.int8\.onnx cannot be loaded"):
        await voice.start()


def test_no_gpl_front_end_is_loaded() -> None:
    import subprocess

    code = (
        "import sys, agent.voice.kokoro, agent.voice.phonemes as p; p.data_folder();"
        "bad = {'espeakng_loader', 'phonemizer', 'misaki', 'piper', 'kokoro_onnx'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
