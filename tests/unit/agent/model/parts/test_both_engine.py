"""Which recogniser hears what, whose words count, and who hears where one is full."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from agent.brain.flow.match import Matcher
from agent.brain.flow.patterns import parse_pattern
from agent.expectation import Expect, ExpectKind
from agent.model.parts.both_engine import (
    LEAST_FIT,
    SENTENCE_FIT,
    SHORT,
    SURE_ALONE,
    SURE_OVER,
    SURE_SOON,
    BothEngine,
)
from agent.model.parts.engine import NOTHING, Guess, open_engine
from agent.model.parts.recogniser import Mode
from agent.training.voices.flite_voice import FliteVoice
from agent.training.words_trials import over_the_phone
from agent.voice import flite

needs_voice = pytest.mark.skipif(flite.missing("rms") is not None, reason="libflite1 is not on this host")
UNSURE = Guess(("ours",), SURE_ALONE - 0.01)
SURE = Guess(("ours",), SURE_ALONE)
THEIRS = Guess(("theirs",), 0.9)
SENTENCE = Guess(("it", "smashed"), 1.0)


class _Stream:
    def __init__(self, says: Guess, fit: float = 0.0, **by_word: float) -> None:
        """``by_word``: words that fit otherwise."""
        self.says, self.fit, self.fed, self.dropped, self.by_word = says, fit, 0, False, by_word

    def feed(self, pcm: object) -> None:
        self.fed += 1

    def partial(self) -> Guess:
        return self.says

    def finish(self) -> Guess:
        return self.says

    def finish_unsure(self) -> Guess:
        return self.says

    def drop(self) -> None:
        self.dropped = True

    def fit_of(self, words: Sequence[str]) -> float:
        return self.by_word.get(words[0], self.fit) if words else self.fit

    def fits_of(self, words: Sequence[str]) -> list[float]:
        return [self.by_word.get(word, self.fit) for word in words]


class _Engine:
    def __init__(self, *streams: _Stream, pieces: int = 0) -> None:
        self.streams, self.pieces = list(streams), pieces
        self.foreseen: list[tuple[Expect, Mode]] = []

    def open(self, expect: Expect, mode: Mode) -> _Stream | None:
        return self.streams.pop(0) if self.streams else None

    def foresee(self, expect: Expect, mode: Mode) -> None:
        self.foreseen.append((expect, mode))

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
@pytest.mark.parametrize(("kind", "mode"), [(ExpectKind.DATE, Mode.ANSWER), (ExpectKind.PHRASES, Mode.OVERLAP)])
def test_words_count_that_fit_and_else_those_that_the_net_is_sure_of(
    theirs: Guess, fit: float, ours: Guess, counts: Guess, kind: ExpectKind, mode: Mode
) -> None:
    assert heard(_Stream(ours, fit), _Stream(theirs), kind, mode) == counts


@pytest.mark.parametrize(
    ("fits", "ours", "counts"),
    [
        ({"it": SENTENCE_FIT, "ours": 0.0}, UNSURE, SENTENCE),
        ({"it": SENTENCE_FIT, "ours": SENTENCE_FIT}, SURE, SENTENCE),
        ({"it": -1.0, "ours": -0.9}, SURE, SURE),
        ({"it": -4.0, "smashed": -0.1, "ours": -5.0}, UNSURE, Guess(("smashed",), 0.3)),
        ({"it": -4.0, "smashed": -4.0, "ours": -5.0}, UNSURE, NOTHING),
        ({"it": -4.0, "smashed": -0.1, "ours": -3.0}, UNSURE, Guess(("ours",), 0.3)),
        ({"it": -4.0, "smashed": -0.1, "ours": -3.0}, Guess(("ours",), 0.19), Guess(("smashed",), 0.3)),
    ],
)
@pytest.mark.parametrize("kind", [ExpectKind.PHRASES, ExpectKind.FREE])
def test_of_a_sentence_that_does_not_fit_the_words_are_told_that_do(
    fits: dict[str, float], ours: Guess, counts: Guess, kind: ExpectKind
) -> None:
    """The stand-in judges a sentence by its first word."""
    assert heard(_Stream(ours, 0.0, **fits), _Stream(SENTENCE), kind) == counts


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


@pytest.mark.parametrize(
    ("kind", "mode", "asked"),
    [
        (ExpectKind.DIGITS, Mode.ANSWER, False),
        (ExpectKind.YES_NO, Mode.ANSWER, False),
        (ExpectKind.DIGITS, Mode.OVERLAP, True),
        (ExpectKind.PHRASES, Mode.ANSWER, True),
    ],
)
def test_what_the_net_hears_alone_is_not_made_ready_by_the_other(kind: ExpectKind, mode: Mode, asked: bool) -> None:
    net, phrases = _Engine(), _Engine()
    BothEngine(net, phrases).foresee(Expect(kind=kind), mode)
    assert net.foreseen == [(Expect(kind=kind), mode)]
    assert bool(phrases.foreseen) is asked


def test_both_prepare_what_the_next_utterance_needs() -> None:
    both = BothEngine(_Engine(pieces=1), _Engine(pieces=3))
    assert [both.prepare() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(("confidence", "told"), [(SURE_SOON, "ours"), (SURE_SOON - 0.01, "theirs")])
def test_a_phrase_that_the_net_is_sure_of_ends_a_turn_whatever_the_other_one_hears_yet(
    confidence: float, told: str
) -> None:
    net = _Stream(Guess(("ours",), confidence))
    for kind, words in ((ExpectKind.PHRASES, ("phrase",)), (ExpectKind.DATE, ())):
        stream = BothEngine(_Engine(net), _Engine(_Stream(THEIRS))).open(Expect(kind=kind, words=words), Mode.ANSWER)
        assert stream is not None
        assert stream.partial().words == ((told,) if words else ("theirs",))


@pytest.mark.parametrize(
    ("ours", "told"),
    [
        (Guess(("stop",), SURE_OVER), Guess(("stop",), SURE_OVER, sure=True)),
        (Guess(("stop",), SURE_OVER - 0.01), THEIRS),
        (Guess(("one",), 0.95), THEIRS),
        (Guess(("one", "two"), 0.95), Guess(("one", "two"), 0.95, sure=True)),
        (NOTHING, THEIRS),
    ],
)
def test_over_our_voice_words_that_the_net_is_sure_of_count_at_once_but_for_one_digit(ours: Guess, told: Guess) -> None:
    both = BothEngine(_Engine(_Stream(ours)), _Engine(_Stream(THEIRS)))
    stream = both.open(Expect(kind=ExpectKind.PHRASES, words=("phrase",)), Mode.OVERLAP)
    assert stream is not None
    assert stream.partial() == told


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
    patterns = [(phrase, [parse_pattern(phrase)]) for phrase in expect.phrases]
    assert Matcher(patterns).best(words("the garden was full of water and the cat sat on the wall")) is None


@needs_voice
def test_a_wish_in_words_of_their_own_is_heard() -> None:
    """The sentence is no phrase of the dialogue, and no grammar has it: the word that names the wish comes through."""
    phrases = ("opening hours", "where is my parcel", "my parcel is damaged")
    expect = Expect(kind=ExpectKind.PHRASES, phrases=phrases, words=("parcel", "damaged", "broken"))
    engine = open_engine("both", "")
    stream = engine.open(expect, Mode.ANSWER)
    assert stream is not None
    pcm = over_the_phone(
        FliteVoice("rms").say("i have a parcel here and it is broken").pcm, 45.0, np.random.default_rng(1)
    )
    stream.feed(pcm)
    assert "broken" in stream.finish().words
