from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.errors import VoiceFailed
from agent.voice import flite, pico
from agent.voice.engine import ClauseJob, Engine, Times, spread
from agent.voice.flite import FliteEngine
from agent.voice.marker import MarkerEngine
from agent.voice.pico import PicoEngine
from agent.voice.process import make_engine
from telephony.audio.marker import decode_marker
from tests.yardstick import yards

needs_flite = pytest.mark.skipif(flite.missing("rms") is not None, reason="libflite1 is not on this host")
needs_pico = pytest.mark.skipif(pico.missing() is not None, reason="py-nanotts is not installed")

JOB = ClauseJob(("Your", "parcel", "one two three four,", "is", "at", "Smith's", "depot"), ".", 0)
WORDS = "we will bring your parcel to you between nine and twelve tomorrow"
LONG = ClauseJob(
    tuple(WORDS.split()),
    ".",
    0,
)


def said(engine: Engine, job: ClauseJob) -> tuple[NDArray[np.int16], Times, list[int]]:
    pieces: list[NDArray[np.int16]] = []
    times: list[Times] = []

    def emit(pcm: NDArray[np.int16], found: Times | None) -> bool:
        pieces.append(pcm)
        times.extend([found] if found is not None else [])
        return True

    engine.say(job, emit)
    (only,) = times
    return np.concatenate(pieces), only, [piece.size for piece in pieces]


def check_times(job: ClauseJob, pcm: NDArray[np.int16], times: Times) -> None:
    assert len(times) == len(job.words)
    edges = [edge for pair in times for edge in pair]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= pcm.size


def level(pcm: NDArray[np.int16]) -> float:
    return float(np.sqrt(np.mean(pcm.astype(np.float64) ** 2)))


@pytest.fixture(scope="module")
def rms() -> FliteEngine:
    return FliteEngine("rms")


@needs_flite
def test_flite_word_times_are_exact(rms: FliteEngine) -> None:
    pcm, times, _ = said(rms, JOB)
    check_times(JOB, pcm, times)
    # a comma's pause lies between the end of "four" and the start of "is": silence there, speech around it
    pause = pcm[times[2][1] + 80 : times[3][0] - 80]
    assert pause.size > 400
    assert level(pause) < 0.05 * level(pcm)
    assert all(level(pcm[start:end]) > 0.2 * level(pcm) for start, end in times)
    assert level(pcm[-80:]) < 0.2 * level(pcm)


@needs_flite
def test_flite_begins_with_speech_in_pieces_of_20_ms(rms: FliteEngine) -> None:
    pcm, times, sizes = said(rms, LONG)
    assert times[0][0] <= 160
    assert max(sizes) <= 240
    assert len(sizes) > pcm.size // 240


@needs_flite
def test_flite_gives_its_first_piece_soon(rms: FliteEngine) -> None:
    first = yards(lambda: rms.say(LONG, lambda _pcm, _times: False))
    whole = yards(lambda: rms.say(LONG, lambda _pcm, _times: True))
    assert first < 0.7 * whole  # about 0.45


@needs_flite
def test_flite_stops_when_nobody_listens_and_speaks_again() -> None:
    kal = FliteEngine("kal")  # the others add a little noise of their own to each rendering
    pieces: list[int] = []

    def emit(pcm: NDArray[np.int16], _times: Times | None) -> bool:
        pieces.append(pcm.size)
        return len(pieces) < 3

    whole, _, _ = said(kal, LONG)
    kal.say(LONG, emit)
    assert len(pieces) == 3
    again, _, _ = said(kal, LONG)
    assert np.array_equal(whole, again)


@needs_flite
def test_error_of_a_listener_crosses_the_library(rms: FliteEngine) -> None:
    def emit(_pcm: NDArray[np.int16], _times: Times | None) -> bool:
        raise RuntimeError("listener broke")

    with pytest.raises(RuntimeError, match="listener broke"):
        rms.say(JOB, emit)
    assert said(rms, JOB)[0].size


@needs_flite
@pytest.mark.parametrize("name", ["rms", "kal"])
def test_flite_level_is_near_minus_six_dbfs_without_clicks(name: str) -> None:
    pcm, _, _ = said(FliteEngine(name), LONG)
    assert 10_000 < np.abs(pcm).max() < 18_500
    assert abs(int(pcm[0])) < 300
    assert abs(int(pcm[-1])) < 300


@needs_pico
def test_pico_times_are_in_order_and_silence_is_trimmed() -> None:
    pcm, times, _ = said(PicoEngine("en-US"), JOB)
    check_times(JOB, pcm, times)
    assert level(pcm[:400]) > 0.01 * level(pcm)
    assert level(pcm[-800:]) > 0.005 * level(pcm)
    assert 9_000 < np.abs(pcm).max() < 18_500


@needs_pico
def test_pico_speaks_a_clause_soon() -> None:
    engine = PicoEngine("en-US")
    assert yards(lambda: said(engine, LONG)) < 60  # about 17: 12 ms of an unloaded core


def test_marker_says_the_number_of_each_word_at_exact_times() -> None:
    job = ClauseJob(("a", "b", "c"), ",", 63)
    pcm, times, _ = said(MarkerEngine(), job)
    check_times(job, pcm, times)
    found = decode_marker(pcm)
    assert [k for k, _, _ in found] == [63, 0, 1]
    assert all(abs(a[1] - b[0]) <= 24 and abs(a[2] - b[1]) <= 24 for a, b in zip(found, times, strict=True))


def test_spelled_number_maps_to_its_source_word() -> None:
    assert spread(("is", "one two,", "now"), ((0, 1), (1, 2), (2, 3), (4, 5))) == ((0, 1), (1, 3), (4, 5))


@pytest.mark.parametrize(("engine", "name"), [("flite", "nobody"), ("pico", "xx-XX"), ("cassette", "")])
def test_unknown_voice_is_refused_by_name(engine: str, name: str) -> None:
    with pytest.raises(VoiceFailed, match=name or engine):
        make_engine(engine, name)


def test_absent_library_is_told_cleanly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flite, "BASE_LIBRARIES", ("libabsent-flite.so.9",))
    assert "libabsent-flite" in str(flite.missing("rms"))
    with pytest.raises(VoiceFailed, match="not on this host"):
        FliteEngine("rms")
