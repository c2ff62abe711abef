"""Rendered callers through the real PocketSphinx process: words that must come out."""

from __future__ import annotations

import pytest

pytest.importorskip("pocketsphinx")

from agent.expectation import NOTHING_KNOWN, Expect, ExpectKind
from agent.model.parts.pocketsphinx_engine import PocketSphinxEngine
from agent.model.parts.recogniser import Mode
from tests.unit.agent.model.parts.test_ears import pcm_of

PARCEL = Expect(kind=ExpectKind.PHRASES, phrases=("where is my ( parcel | package )", "change the delivery day"))


@pytest.fixture(scope="module")
def engine() -> PocketSphinxEngine:
    return PocketSphinxEngine()


@pytest.mark.parametrize(
    ("clip", "expect", "mode", "words"),
    [
        (
            "ears_digits_rms.wav",
            Expect(kind=ExpectKind.DIGITS, digits=8),
            Mode.ANSWER,
            "one two three four five six seven eight",
        ),
        ("ears_yes_rms.wav", Expect(kind=ExpectKind.YES_NO), Mode.ANSWER, "yes please"),
        ("ears_parcel_awb.wav", PARCEL, Mode.ANSWER, "where is my parcel"),
        ("ears_stop_rms.wav", PARCEL, Mode.OVERLAP, "stop"),
        ("ears_okay_rms.wav", PARCEL, Mode.OVERLAP, "okay"),
        ("ears_digits_rms.wav", Expect(kind=ExpectKind.YES_NO), Mode.ANSWER, ""),
    ],
)
def test_rendered_callers_are_understood(
    engine: PocketSphinxEngine, clip: str, expect: Expect, mode: Mode, words: str
) -> None:
    line = pcm_of(clip)[2000:-2000]
    stream = engine.open(expect, mode)
    assert stream is not None
    for at in range(0, len(line), 480):
        stream.feed(line[at : at + 480])
    found = stream.finish()
    assert " ".join(found.words) == words
    assert (found.confidence > 0.5) == bool(words)


def test_a_quiet_caller_is_understood_too(engine: PocketSphinxEngine) -> None:
    stream = engine.open(Expect(kind=ExpectKind.DIGITS, digits=8), Mode.ANSWER)
    assert stream is not None
    stream.feed((pcm_of("ears_digits_rms.wav")[2000:-2000] // 5).astype("int16"))
    assert len(stream.finish().words) == 8
    dropped = engine.open(NOTHING_KNOWN, Mode.ANSWER)
    assert dropped is not None
    dropped.drop()
