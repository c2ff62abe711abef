"""Which recogniser hears what, and who hears where one is full."""

from __future__ import annotations

import pytest

from agent.expectation import Expect, ExpectKind
from agent.model.parts.both_engine import BothEngine
from agent.model.parts.engine import NOTHING, Guess, Stream
from agent.model.parts.recogniser import Mode


class _Stream:
    def __init__(self, of: str) -> None:
        self.of = of

    def feed(self, pcm: object) -> None: ...

    def partial(self) -> Guess:
        return NOTHING

    def finish(self) -> Guess:
        return Guess((self.of,), 1.0)

    def drop(self) -> None: ...


class _Engine:
    def __init__(self, name: str, *, places: int = 1, pieces: int = 0) -> None:
        self.name, self.places, self.pieces = name, places, pieces

    def open(self, expect: Expect, mode: Mode) -> Stream | None:
        self.places -= 1
        return _Stream(self.name) if self.places >= 0 else None

    def prepare(self) -> bool:
        self.pieces -= 1
        return self.pieces > 0


def heard_by(engine: BothEngine, kind: ExpectKind, mode: Mode = Mode.ANSWER) -> str:
    stream = engine.open(Expect(kind=kind), mode)
    assert stream is not None
    return stream.finish().words[0]


@pytest.mark.parametrize("kind", list(ExpectKind))
def test_numbers_dates_yes_and_no_go_to_the_net(kind: ExpectKind) -> None:
    both = BothEngine(_Engine("net"), _Engine("phrases"))
    short = kind in (ExpectKind.DIGITS, ExpectKind.YES_NO, ExpectKind.DATE)
    assert heard_by(both, kind) == ("net" if short else "phrases")


@pytest.mark.parametrize("kind", list(ExpectKind))
def test_what_is_said_into_our_voice_goes_to_pocketsphinx(kind: ExpectKind) -> None:
    assert heard_by(BothEngine(_Engine("net"), _Engine("phrases")), kind, Mode.OVERLAP) == "phrases"


def test_where_one_is_full_the_other_listens() -> None:
    both = BothEngine(_Engine("net", places=1), _Engine("phrases", places=1))
    assert [heard_by(both, ExpectKind.DIGITS) for _ in range(2)] == ["net", "phrases"]
    assert both.open(Expect(kind=ExpectKind.DIGITS), Mode.ANSWER) is None


def test_both_prepare_what_the_next_utterance_needs() -> None:
    both = BothEngine(_Engine("net", pieces=1), _Engine("phrases", pieces=3))
    assert [both.prepare() for _ in range(3)] == [True, True, False]
