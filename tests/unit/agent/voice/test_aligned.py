"""Word times found in the audio: better than the estimate on a voice whose times are known; the estimate else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.bench.word_times import errors, lag_ms, run_word_times_bench, table, timed
from agent.cli import main
from agent.config import VoiceConfig
from agent.errors import ConfigError, ModelError
from agent.model.small import words_runtime
from agent.model.small.words_align import Alignment
from agent.model.small.words_phones import labels
from agent.model.small.words_runtime import STEP
from agent.voice import aligned, flite
from agent.voice.aligned import LAG_MS, POOREST_FIT, WordAligner, open_aligner, placed, ways
from agent.voice.engine import ClauseJob, NotAligned
from agent.voice.flite import FliteEngine
from agent.voice.marker import MarkerEngine
from agent.voice.process import make_aligner

needs_flite = pytest.mark.skipif(flite.missing("rms") is not None, reason="libflite1 is not on this host")
JOB = ClauseJob(("Your", "parcel", "is", "on", "its", "way", "to", "Wroclaw"), ".", 0)
NUMBER = ClauseJob(("Thank", "you,", "it", "is", "four eight two one,", "is", "that", "right"), "?", 0)


@pytest.fixture(scope="module")
def ours() -> WordAligner:
    return open_aligner()


@needs_flite
def test_words_are_found_where_a_held_out_voice_says_them(ours: WordAligner) -> None:
    """The whole of it, over 30 clauses: ``crosstalk bench voice --word-times``."""
    rms = FliteEngine("rms")
    clauses = [timed(rms, ours, *both) for both in ((JOB, NUMBER), (NUMBER, JOB))]
    assert all(one.aligned is not None for one in clauses)
    estimated = errors([(one.true, one.estimated) for one in clauses])
    found = errors([(one.true, one.given) for one in clauses])
    assert found["start_p50_ms"] < 30
    assert found["start_p90_ms"] < 0.75 * estimated["start_p90_ms"]
    assert found["end_p50_ms"] < 30
    assert found["end_p90_ms"] < 0.75 * estimated["end_p90_ms"]
    assert all(one.other_fit < POOREST_FIT < one.fit for one in clauses)
    lag = lag_ms(clauses)
    assert lag is not None
    assert abs(lag - LAG_MS) < 30


@needs_flite
def test_other_words_keep_their_estimate(ours: WordAligner) -> None:
    pieces: list[np.ndarray] = []
    FliteEngine("kal").say(JOB, lambda pcm, _times: pieces.append(pcm) is None)
    pcm = np.concatenate(pieces)
    with pytest.raises(NotAligned, match="hears something else"):
        ours.times(ClauseJob(("seven", "big", "onions", "came", "from", "Egypt"), ".", 0), pcm)
    assert ours.times(JOB, pcm, lambda: False) is None


@pytest.mark.parametrize(
    ("word", "samples", "why"),
    [("1234", 8000, "without letters"), ("hello", 200_000, "longer than"), ("extraordinarily", 0, "fewer frames")],
)
def test_what_cannot_be_found_is_told(ours: WordAligner, word: str, samples: int, why: str) -> None:
    with pytest.raises(NotAligned, match=why):
        ours.times(ClauseJob((word,), ".", 0), np.zeros(samples, np.int16))


def test_words_that_no_dictionary_has_are_sounded_out() -> None:
    assert ways("Zbignov,") == (labels("Z B IH G N AA V"),)
    assert ways("parcel,") == ways("parcel")
    assert ways("--") == ()


def test_a_pause_behind_a_comma_belongs_to_no_word() -> None:
    loud = np.tile(np.array([4000, -4000], np.int16), 2000)
    pcm = np.concatenate((loud, np.zeros(1600, np.int16), loud))
    late = LAG_MS * 8 / STEP
    found = Alignment(np.array([0.0, 5500 / STEP + late]), np.array([4100 / STEP + late, 40.0]), 0.0)
    assert placed(["one,", "two"], found, pcm) == ((0, 4000), (5600, 9600))
    together = placed(["one", "two"], found, pcm)
    assert together[0][1] == together[1][0] == 4800


def test_times_stay_inside_the_clause() -> None:
    found = Alignment(np.array([0.0, 1.0, 90.0]), np.array([0.5, 80.0, 99.0]), 0.0)
    times = placed(["a", "b", "c"], found, np.full(3000, 1000, np.int16))
    edges = [edge for pair in times for edge in pair]
    assert edges == sorted(edges)
    assert (edges[0], edges[-1]) == (0, 3000)


def test_ears_that_cannot_be_loaded_leave_the_estimate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Guesses(MarkerEngine):
        exact = False

    assert make_aligner(MarkerEngine()) == (None, "exact", "")
    monkeypatch.setattr(words_runtime, "WEIGHTS", tmp_path / "words.onnx")
    none, kind, why = make_aligner(Guesses())
    assert (none, kind) == (None, "estimated")
    assert "there are no weights" in why
    (tmp_path / "words.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="cannot be loaded"):
        aligned.open_aligner()


@needs_flite
def test_the_bench_tells_errors_and_lag(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_word_times_bench((VoiceConfig(engine="flite", name="kal"),), ("Your parcel is here.",))
    (row,) = result["voices"]
    assert row["voice"] == "flite:kal"
    assert row["words"] == 4
    assert row["kept_estimate"] == 0
    assert "flite:kal" in table(result)
    with pytest.raises(ConfigError, match="nothing to compare"):
        run_word_times_bench((VoiceConfig(engine="pico"),), ())
    assert main(["bench", "voice", "--word-times", "--voice", "pico"]) != 0
    assert "does not know its word times" in capsys.readouterr().err
