"""One answer of a caller: what is said, where pauses may fall, and what the brain waits for meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from agent.expectation import Expect


class State(StrEnum):
    """What the dialogue is waiting for. Finer than ``ExpectKind``: the brain may not tell them all."""

    FREE = "free"
    YES_NO = "yes_no"
    DIGITS = "digits"
    DATE = "date"
    NAME = "name"
    ADDRESS = "address"
    CODE = "code"
    AMOUNT = "amount"
    INTENTS = "intents"
    OPENING = "opening"
    """Nothing is known: "how can I help you"."""


@dataclass(frozen=True, slots=True)
class Breath:
    """Words said in one utterance of the synthesiser."""

    words: tuple[str, ...]
    cuts: tuple[int, ...] = ()
    """After how many words a pause may be put in, without the melody of an end."""

    @property
    def text(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A caller's turn as text. Between two breaths there is always a pause."""

    state: State
    breaths: tuple[Breath, ...]
    expect: Expect
    """What a brain that is right expects here."""

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(word for breath in self.breaths for word in breath.words)

    @property
    def text(self) -> str:
        """As drawn: ``/`` and ``//`` for the places of pauses."""
        return " // ".join(_marked(breath) for breath in self.breaths)


def breaths_of(marked: str) -> tuple[Breath, ...]:
    """``a / b // c d`` → breaths ``a b`` (cut after one word) and ``c d``."""
    found = []
    for part in marked.split("//"):
        words: list[str] = []
        cuts: list[int] = []
        for piece in part.split("/"):
            if words and piece.strip():
                cuts.append(len(words))
            words += piece.replace(",", " ").split()
        if words:
            found.append(Breath(tuple(words), tuple(cuts)))
    return tuple(found)


def _marked(breath: Breath) -> str:
    edges = [0, *breath.cuts, len(breath.words)]
    return " / ".join(" ".join(breath.words[a:b]) for a, b in pairwise(edges))
