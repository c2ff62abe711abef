"""Which recogniser hears what, whose words count, and who hears where one is full."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from agent.expectation import Expect, ExpectKind
from agent.model.parts.both_engine import LEAST_FIT, SHORT, SURE_ALONE, BothEngine
from agent.model.parts.engine import NOTHING, Guess, open_engine
from agent.model.parts.recogniser import Mode
from agent.training.voices.flite_voice import FliteVoice
from agent.training.words_trials import over_the_phone
from agent.voice import flite

needs_voice = pytest.mark.skipif(flite.missing("rms") is not None, reason="libflite1 is not on this host")
UNSURE = Guess(("ours",), SURE_ALONE - 0.01)
SURE = Guess(("ours",), SURE_ALONE)
THEIRS = Guess(("theirs",), 0.9)


class _Stream:
    def __init__(self, says: Guess, fit: float = 0.0) -> None:
        self.says, self.fit, self.fed, self.dropped = says, fit, 0, False

    def feed(self, pcm: object) -> None:
        self.fed += 1

    def partial(self) -> Guess:
        return self.says

    def finish(self) -> Guess:
        return self.says

    def drop(self) -> None:
        self.dropped = True

    def fit_of(self, words: Sequence[str]) -> float:
        return self.fit


class _Engine:
    def __init__(self, *streams: _Stream, pieces: int = 0) -> None:
        self.streams, self.pieces = list(streams), pieces

    def open(self, expect: Expect, mode: Mode) -> _Stream | None:
        return self.streams.pop(0) if self.streams else None

    def prepare(self) -> bool:
        self.pieces -= 1
        return self.pieces > 0


def heard(net: _Stream, phrases: _Stream, kind: ExpectKind, mode: Mode = Mode.ANSWER) -> Guess:
    stream = BothEngine(_Engine(net), _Engine(phrases)).open(Expect(kind=kind), mode)
    assert stream is not None
    stream.feed(np.zeros(160, np.int16))
    assert net.fed == 1
    return stream.finish()


@pytest.mark.parametrize("kind", list(ExpectKind))
def test_the_net_alone_hears_numbers_yes_and_no(kind: ExpectKind) -> None:
    phrases = _Stream(THEIRS)
    assert heard(_Stream(UNSURE), phrases, kind) == (UNSURE if kind in SHORT else THEIRS)
    assert phrases.fed == (kind not in SHORT), "PocketSphinx is spared what it is not asked for"


@pytest.mark.parametrize(
    ("theirs", "fit", "ours", "counts"),
    [
        (THEIRS, LEAST_FIT, SURE, THEIRS),
        (THEIRS, LEAST_FIT - 0.1, SURE, SURE),
        (THEIRS, LEAST_FIT - 0.1, UNSURE, NOTHING),
        (NOTHING, 0.0, SURE, SURE),
        (NOTHING, 0.0, UNSURE, NOTHING),
        (THEIRS, -np.inf, NOTHING, NOTHING),
    ],
)
@pytest.mark.parametrize("mode", list(Mode))
def test_words_count_that_fit_and_else_those_that_the_net_is_sure_of(
    theirs: Guess, fit: float, ours: Guess, counts: Guess, mode: Mode
) -> None:
    assert heard(_Stream(ours, fit), _Stream(theirs), ExpectKind.PHRASES, mode) == counts


def test_where_one_is_full_the_other_listens() -> None:
    both = BothEngine(_Engine(_Stream(SURE)), _Engine(_Stream(THEIRS)))
    one, last = (both.open(Expect(kind=ExpectKind.DIGITS), Mode.ANSWER) for _ in range(2))
    assert one is not None
    assert one.finish() == SURE
    assert last is not None
    assert last.finish() == THEIRS
    assert both.open(Expect(kind=ExpectKind.DIGITS), Mode.ANSWER) is None


def test_what_is_dropped_is_dropped_by_both() -> None:
    net, phrases = _Stream(SURE), _Stream(THEIRS)
    stream = BothEngine(_Engine(net), _Engine(phrases)).open(Expect(kind=ExpectKind.PHRASES), Mode.ANSWER)
    assert stream is not None
    stream.drop()
    assert (net.dropped, phrases.dropped) == (True, True)


def test_both_prepare_what_the_next_utterance_needs() -> None:
    both = BothEngine(_Engine(pieces=1), _Engine(pieces=3))
    assert [both.prepare() for _ in range(3)] == [True, True, False]


@needs_voice
def test_a_phrase_is_understood_and_talk_is_not_taken_for_one() -> None:
    """By a voice that training never met, with the recognisers that ship."""
    expect = Expect(kind=ExpectKind.PHRASES, phrases=("opening hours", "where is my parcel", "complaint"))
    engine = open_engine("both", "")

    def words(text: str) -> tuple[str, ...]:
        stream = engine.open(expect, Mode.ANSWER)
        assert stream is not None
        stream.feed(over_the_phone(FliteVoice("rms").say(text).pcm, 45.0, np.random.default_rng(1)))
        return stream.finish().words

    assert words("where is my parcel") == ("where", "is", "my", "parcel")
    assert words("the garden was full of water and the cat sat on the wall") == ()
