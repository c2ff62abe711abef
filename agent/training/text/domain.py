"""Sayings of one dialogue among the general ones: its intents in every form that it knows, numbers as long as its own.

For ``crosstalk train small --domain``: a net that has heard a customer's own phrases knows better when they are whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from agent.brain.flow.flow import build_flow
from agent.brain.flow.load import load_dialogue
from agent.brain.flow.spec import SlotKind
from agent.expectation import Expect, ExpectKind
from agent.training.errors import TrainingError
from agent.training.fold import PHRASES_HELD_OUT, Fold, held_out
from agent.training.text.answer import Answer, State, breaths_of
from agent.training.text.source import TextSource

SHARE: Final = 0.6
"""Of answers that the dialogue could have got; the rest keeps the net general."""
Rng = np.random.Generator


class DomainSource(TextSource):
    """A ``TextSource`` that often says what callers of one dialogue say."""

    def __init__(self, fold: Fold, dialogue: Path) -> None:
        """Raises ``DialogueError`` with the line, and ``TrainingError`` where the dialogue expects no phrases."""
        super().__init__(fold)
        spec = load_dialogue(dialogue)
        flow = build_flow(spec)
        self._sayings = {
            flow.phrases[state]: said
            for state in spec.states
            if (said := self._forms([p.forms for i in spec.live_intents(state) for p in spec.intents[i].patterns]))
        }
        self._lengths = [
            (slot.length, slot.check) for slot in spec.slots.values() if slot.kind is SlotKind.DIGITS and slot.length
        ]
        if not self._sayings:
            raise TrainingError(f"{dialogue}: has no intents whose phrases could be learnt")

    def _forms(self, patterns: list[tuple[tuple[str, ...], ...]]) -> tuple[str, ...]:
        """Every way to say them that this fold may use; those with a value inside are left out."""
        texts = {" ".join(form) for forms in patterns for form in forms if not any("{" in word for word in form)}
        return tuple(sorted(text for text in texts if self._fold.allows_phrase(held_out(text, PHRASES_HELD_OUT))))

    def answer(self, state: State, rng: Rng) -> Answer:
        if state not in (State.INTENTS, State.OPENING) or rng.random() >= SHARE:
            return super().answer(state, rng)
        phrases = list(self._sayings)[int(rng.integers(len(self._sayings)))]
        said = self._sayings[phrases]
        words = said[int(rng.integers(len(said)))].split()
        cut = int(rng.integers(1, len(words))) if len(words) > 2 and rng.random() < SHARE else 0
        text = f"{' '.join(words[:cut])} / {' '.join(words[cut:])}" if cut else " ".join(words)
        return Answer(state=state, breaths=breaths_of(text), expect=Expect(kind=ExpectKind.PHRASES, phrases=phrases))

    def _expect(self, state: State, rng: Rng) -> Expect:
        if state is not State.DIGITS or not self._lengths or rng.random() >= SHARE:
            return super()._expect(state, rng)
        length, check = self._lengths[int(rng.integers(len(self._lengths)))]
        return Expect(kind=ExpectKind.DIGITS, digits=length, check=check)
