"""When the net's scores decide, and when the words or the clock do: tables in one place, each with its reason. Pure.

Figures: `crosstalk eval small` on voices and speakers that training never met (docs/reference/model_card_small.md), and
`crosstalk bench duplex` with both kinds of ears on the same scripts (docs/benchmarks.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from agent.expectation import Expect, ExpectKind
from agent.model.parts.sense import Sense


class Answer(IntEnum):
    """Dialogue states with a patience of their own."""

    OPEN = 0
    YES_NO = 1
    DIGITS = 2
    DATE = 3
    NAME = 4
    """One of a list of short phrases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRule:
    """Which score ends a turn, and how long it must hold."""

    threshold: float
    agree_ms: int
    why: str


ENDS: Final[dict[Answer, EndRule]] = {
    Answer.OPEN: EndRule(threshold=0.5, agree_ms=320, why="sentences with a pause inside"),
    Answer.YES_NO: EndRule(threshold=0.3, agree_ms=200, why="one word; a correction may follow"),
    Answer.DIGITS: EndRule(threshold=0.5, agree_ms=640, why="groups with pauses of up to 2.5 s"),
    Answer.DATE: EndRule(threshold=0.4, agree_ms=320, why="cut between day and month at less"),
    Answer.NAME: EndRule(threshold=0.4, agree_ms=320, why="first and last name with a pause"),
}
NAME_WORDS: Final = 2.0
"""Expected phrases of at most so many words on average are a list of names."""
SENSE_FACTOR: Final[dict[Sense, float]] = {
    Sense.NOTHING: 1.0,
    Sense.OTHER: 1.0,
    Sense.HANGING: 6.0,
    Sense.PHRASE_BEGUN: 6.0,
    Sense.PHRASE_HANGS: 12.0,
    Sense.VALUE_BEGUN: 6.0,
    Sense.PHRASE: 1.0,
    Sense.VALUE: 1.0,
}
"""How much longer the score must hold for what the words say. A beginning without its end is more often a pause than a
word not heard: at 3 the net took one pause in seven more of synthetic callers than the words alone."""


class LateRule(NamedTuple):
    """Silence after which a lower score ends a turn."""

    after_ms: float
    score: float


NEVER: Final = LateRule(math.inf, 0.0)
LATE: Final[dict[Sense, tuple[LateRule, ...]]] = {
    Sense.NOTHING: (LateRule(600, 0.4), LateRule(800, 0.2), LateRule(1000, 0.1), LateRule(2400, 0.0)),
    Sense.OTHER: (LateRule(600, 0.5), LateRule(1000, 0.4), LateRule(1500, 0.2), LateRule(2400, 0.0)),
    Sense.HANGING: (LateRule(800, 0.9), LateRule(1100, 0.8), LateRule(1500, 0.5), LateRule(2300, 0.0)),
    Sense.PHRASE_BEGUN: (LateRule(600, 0.8), LateRule(2300, 0.0)),
    Sense.PHRASE_HANGS: (LateRule(2300, 0.0),),
    Sense.VALUE_BEGUN: (NEVER,),
    Sense.PHRASE: (NEVER,),
    Sense.VALUE: (NEVER,),
}
"""The longer nobody speaks, the lower the score that will do, by what the words say; the floor's backstop is behind the
last. Without words: net alone, folds valid and dev, against 0.15 after 1 s (509 turns): people's turns that wait for
more than 0.9 s 39 -> 21 %, cut 3.3 -> 4.4; all turns 46 -> 20 %, cut 7.9 -> 10.8. With words the turn's own sound is
clearer: what a pause scores and what an end scores hardly overlap (docs/explanation/training.md)."""
SOON: Final[dict[Sense, float]] = {
    Sense.HANGING: math.inf,
    Sense.PHRASE_BEGUN: LATE[Sense.PHRASE_BEGUN][0].score,
    Sense.PHRASE_HANGS: math.inf,
    Sense.VALUE_BEGUN: math.inf,
}
"""Score without which such words let no recogniser finish ahead of the turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedRule:
    """Words that are a whole phrase end a turn so much sooner where the net gives that score."""

    score: float
    times: float


AGREED: Final = AgreedRule(score=0.4, times=1.6)
"""The silence of 0.26 s that a phrase waits for is there for words that are whole by chance: what the net hears to be
over needs less of it."""
SPEECH_VETO: Final = 0.05
"""Speech by levels and voice activity that the net scores lower is none: babble, a television, our echo."""


class Overlap(IntEnum):
    """Classes of the net's overlap head."""

    NONE = 0
    TAKES = 1
    BACKCHANNEL = 2
    TIC = 3
    SIDE = 4
    NOISE = 5
    ECHO = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class TakesRule:
    """Score of ``Overlap.TAKES`` that takes the floor from a sound over our voice."""

    after_ms: int
    """Speech of the sound until then."""
    threshold: float
    why: str


TAKES: Final = (
    TakesRule(
        after_ms=0,
        threshold=0.88,
        why="backchannels begin as interruptions do: at 0.8 a third of them stops us, at 0.88 one in twelve",
    ),
    TakesRule(
        after_ms=400,
        threshold=0.82,
        why="most backchannels are over by then: 7 points more interruptions are given way to in 0.6 s, and no "
        'backchannel more stops us; at 0.7 10 points more, and a person\'s "mhm" of 0.7 s',
    ),
)
"""In the order of ``after_ms``: the last one that is due counts. One frame of the net is enough."""
DOUBTED_TAKES: Final = 0.6
"""A sound that the net never gave such a score as an interruption is doubted …"""
SURE_BACKCHANNEL: Final = 0.9
"""… no words of it take the floor where the net once was so sure of a backchannel: "mhm" is heard as "oh six" …"""
DOUBTED_MS: Final = (500, 1200)
"""… and so long its length does not: a television is not speech to us (noises that stop us: 9 -> 2 in 100, and no
interruption is lost). Whom the net does not know to be speaking to us is given way to by the clock after that."""


def answer_of(expect: Expect) -> Answer:
    """Which patience an expectation asks for. A menu that takes a number too is a menu: words tell a number begun."""
    if expect.kind is ExpectKind.DIGITS:
        return Answer.DIGITS
    if expect.kind is ExpectKind.YES_NO:
        return Answer.YES_NO
    if expect.kind is ExpectKind.DATE:
        return Answer.DATE
    if expect.phrases and sum(len(phrase.split()) for phrase in expect.phrases) <= NAME_WORDS * len(expect.phrases):
        return Answer.NAME
    return Answer.OPEN
