"""Our own recogniser with the weights that ship: heard in pieces or whole, alone or beside others, and how well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.expectation import Expect, ExpectKind
from agent.model.parts.engine import NOTHING, open_engine
from agent.model.parts.recogniser import Mode
from agent.model.parts.words_engine import MOST_STREAMS, WordsEngine
from agent.model.small.weights import located
from agent.model.small.words_runtime import STEP, WEIGHTS, PhoneRuntime
from agent.training.voices.flite_voice import FliteVoice
from agent.training.words_trials import over_the_phone
from agent.voice import flite
from agent.voice.numbers import ONES

EIGHT = Expect(kind=ExpectKind.DIGITS, digits=8)
needs_voice = pytest.mark.skipif(flite.missing("rms") is not None, reason="libflite1 is not on this host")


@pytest.fixture(scope="module")
def engine() -> WordsEngine:
    return WordsEngine()


def said(text: str) -> NDArray[np.int16]:
    """By a voice that training never met, on a quiet line."""
    return over_the_phone(FliteVoice("rms").say(text).pcm, 45.0, np.random.default_rng(1))


def heard(engine: WordsEngine, pcm: NDArray[np.int16], expect: Expect, piece: int = 480) -> tuple[str, ...]:
    stream = engine.open(expect, Mode.ANSWER)
    assert stream is not None
    for at in range(0, pcm.size, piece):
        stream.feed(pcm[at : at + piece])
    return stream.finish().words


@needs_voice
def test_a_voice_that_training_never_met_is_understood_as_the_card_says(engine: WordsEngine) -> None:
    one = Expect(kind=ExpectKind.DIGITS, digits=1)
    right = sum(heard(engine, said(word), one) == (word,) for word in ONES[:10])
    assert right >= 7


@needs_voice
def test_how_the_audio_is_cut_changes_nothing(engine: WordsEngine) -> None:
    pcm = said("four two seven one")
    whole = heard(engine, pcm, EIGHT, pcm.size)
    assert len(whole) >= 3
    assert heard(engine, pcm, EIGHT, 480) == whole
    assert heard(engine, pcm, EIGHT, 77) == whole


def test_silence_and_noise_are_no_words(engine: WordsEngine) -> None:
    rng = np.random.default_rng(2)
    noise = (rng.standard_normal(16_000) * 500).astype(np.int16)
    for pcm in (np.zeros(8000, np.int16), noise):
        assert heard(engine, pcm, EIGHT) == NOTHING.words


def test_streams_run_out_and_come_back() -> None:
    engine = WordsEngine()
    streams = [engine.open(EIGHT, Mode.ANSWER) for _ in range(MOST_STREAMS)]
    assert engine.open(EIGHT, Mode.ANSWER) is None
    first = streams[0]
    assert first is not None
    first.drop()
    assert engine.open(EIGHT, Mode.OVERLAP) is not None
    assert engine.prepare() is False


def test_a_row_of_a_batch_is_the_row_alone() -> None:
    rng = np.random.default_rng(3)
    pcm = (rng.standard_normal((3, 20 * STEP)) * 0.05).astype(np.float32)
    together, alone = PhoneRuntime(WEIGHTS, 3), PhoneRuntime(WEIGHTS, 1)
    rows, row = np.arange(3), np.array([0])
    for at in range(0, pcm.shape[1], STEP):
        batch = together.step(pcm[:, at : at + STEP], rows)
        single = alone.step(pcm[1:2, at : at + STEP], row)
        # Rows of one product share the scale of their 8-bit inputs: equal but for that rounding.
        assert np.abs(np.exp(batch[1]) - np.exp(single[0])).max() < 0.05
    alone.reset(row)
    assert np.allclose(alone.step(pcm[:1, :STEP], row), PhoneRuntime(WEIGHTS, 1).step(pcm[:1, :STEP], row))


def test_the_engine_is_opened_by_its_name_and_its_weights_are_checked(tmp_path: Path) -> None:
    assert isinstance(open_engine("words", ""), WordsEngine)
    (tmp_path / "words.onnx").write_bytes(b"other")
    (tmp_path / "SHA256SUMS").write_text(Path(WEIGHTS.parent / "SHA256SUMS").read_text())
    with pytest.raises(ModelError, match="sha256"):
        located(str(tmp_path / "words.onnx"))
