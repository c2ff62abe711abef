"""What a recogniser library must offer inside its process, and the engines by name."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.expectation import Expect
from agent.model.names import EXPECTING, RecogniserName
from agent.model.parts.recogniser import Mode


class Guess(NamedTuple):
    words: tuple[str, ...]
    confidence: float
    sure: bool = False
    """Said over our voice, they need nothing to confirm them: no further hypothesis, no other judge."""


NOTHING = Guess((), 0.0)


class Stream(Protocol):
    """One utterance."""

    def feed(self, pcm: NDArray[np.int16]) -> None:
        """``[n]`` int16, 8 kHz."""
        ...

    def partial(self) -> Guess: ...

    def finish(self) -> Guess:
        """The last word on it; the stream is used up."""
        ...

    def drop(self) -> None:
        """Not needed any more; the stream is used up."""
        ...


class Engine(Protocol):
    def open(self, expect: Expect, mode: Mode) -> Stream | None:
        """A stream for an utterance, or ``None`` when all decoders are taken."""
        ...

    def foresee(self, expect: Expect, mode: Mode) -> None:
        """Make ready what a stream of such an utterance needs, at once; called while nobody speaks."""
        ...

    def prepare(self) -> bool:
        """Do a piece of what the next utterance would wait for; called while nobody speaks. True: there is more."""
        ...


def open_engine(name: str, folder: str) -> Engine:
    """The engine ``name``; ``folder`` holds an operator's model. Raises ``ModelError``."""
    if name == RecogniserName.POCKETSPHINX:
        from agent.model.parts.pocketsphinx_engine import PocketSphinxEngine

        return PocketSphinxEngine()
    if name == RecogniserName.SHERPA:
        from agent.model.parts.sherpa_engine import open_sherpa

        return open_sherpa(folder)
    if name == RecogniserName.WORDS:
        from agent.model.parts.words_engine import open_words

        return open_words()
    if name == RecogniserName.BOTH:
        from agent.model.parts.both_engine import BothEngine
        from agent.model.parts.words_engine import open_words

        return BothEngine(open_words(), open_engine(RecogniserName.POCKETSPHINX, folder))
    known = sorted({*EXPECTING, RecogniserName.SHERPA})
    raise ModelError(f"recogniser {name!r} is no engine; known: {', '.join(known)}")
