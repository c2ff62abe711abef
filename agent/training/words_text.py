"""What callers say to a narrow recogniser: short answers, dictation, a dialogue's intents, and none of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from agent.brain.flow.load import load_dialogue
from agent.training.chance import one_of, weighted
from agent.training.fold import PHRASES_HELD_OUT, Fold, held_out
from agent.training.text import spoken
from agent.training.text.answer import State, breaths_of
from agent.training.text.source import TextSource
from agent.voice.numbers import ONES

Rng = np.random.Generator
DIGIT_COUNTS: Final = (1, 2, 2, 3, 3, 4, 4, 4, 5, 6, 6, 8, 8, 8)
REPAIRED: Final = 0.06
ORDERS: Final = {
    "digit": 0.16,
    "digits": 0.28,
    "yes_no": 0.12,
    "intent": 0.13,
    "sentence": 0.12,
    "date": 0.06,
    "other": 0.05,
    "short": 0.08,
}
"""Shares of what is said. ``intent``: the dialogue's own phrases; ``sentence``: anybody's."""


class WordTexts:
    """Sayings of one fold. Deterministic: the same generator gives the same words."""

    def __init__(self, fold: Fold, dialogue: Path | None = None) -> None:
        self._source = TextSource(fold)
        self._intents = intents(dialogue, fold) if dialogue else ()
        self._draw: dict[str, Callable[[Rng], str]] = {
            "digit": lambda rng: "oh" if rng.random() < 0.06 else ONES[int(rng.integers(10))],
            "digits": _digits,
            "yes_no": lambda rng: self._answer(State.YES_NO, rng),
            "intent": lambda rng: one_of(self._intents, rng) if self._intents else self._answer(State.INTENTS, rng),
            "sentence": lambda rng: self._answer(one_of((State.FREE, State.INTENTS, State.OPENING), rng), rng),
            "date": lambda rng: self._answer(State.DATE, rng),
            "other": lambda rng: self._answer(one_of((State.NAME, State.ADDRESS, State.CODE, State.AMOUNT), rng), rng),
            "short": self._short,
        }

    def draw(self, rng: Rng) -> tuple[str, list[str]]:
        """What kind of saying it is, and its utterances (words only)."""
        kind = weighted(tuple(ORDERS.items()), rng)
        return kind, [breath.text for breath in breaths_of(self._draw[kind](rng))]

    def _answer(self, state: State, rng: Rng) -> str:
        return self._source.answer(state, rng).text

    def _short(self, rng: Rng) -> str:
        draw = rng.random()
        if draw < 0.5:
            return self._source.takes(rng).text
        return self._source.listening(rng) if draw < 0.8 else self._source.tic(rng)


def intents(dialogue: Path, fold: Fold) -> Sequence[str]:
    """Every way to say the intents of ``dialogue`` that this fold may use; slots are left out."""
    found = []
    for intent in load_dialogue(dialogue).intents.values():
        for pattern in intent.patterns:
            for form in pattern.forms:
                text = " ".join(word for word in form if not word.startswith("{"))
                if text and fold.allows_phrase(held_out(text, PHRASES_HELD_OUT)):
                    found.append((text, 1.0 / len(pattern.forms)))
    return _evened(found)


def _evened(found: Sequence[tuple[str, float]]) -> tuple[str, ...]:
    """Texts repeated so that every pattern is drawn about as often, however many forms it has."""
    return tuple(text for text, weight in found for _ in range(max(1, round(12 * weight))))


def _digits(rng: Rng) -> str:
    figures = spoken.digits(int(rng.choice(DIGIT_COUNTS)), rng)
    if len(figures) > 2 and rng.random() < REPAIRED:
        return spoken.repaired(figures, rng)
    return spoken.read_out(figures, rng)
