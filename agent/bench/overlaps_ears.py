"""Ears of many rows in one thread: as many decoders as speak at once, in the time of the audio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agent.bench.duplex_systems import ears_of
from agent.bench.inline_recogniser import InlineRecogniser
from agent.expectation import Expect
from agent.model.parts.both_engine import BothEngine
from agent.model.parts.ears import Ears
from agent.model.parts.engine import Engine, Stream, open_engine
from agent.model.parts.recogniser import Mode
from agent.model.parts.words_engine import open_words

RECOGNISER: Final = "both"
"""As the service's default."""


class ManyDecoders:
    """An engine without a limit of utterances: another one is opened where all decoders are taken.

    See ``agent.model.parts.engine.Engine``. A served process has a limit, and the service has more processes.
    """

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._engines = [make()]

    def open(self, expect: Expect, mode: Mode) -> Stream | None:
        for engine in self._engines:
            if (stream := engine.open(expect, mode)) is not None:
                return stream
        self._engines.append(self._make())
        return self._engines[-1].open(expect, mode)

    def foresee(self, expect: Expect, mode: Mode) -> None:
        """Nothing waits in here."""

    def prepare(self) -> bool:
        return False


def ears(system: str, rows: int, weights: str) -> Ears:
    """``small`` or ``parts`` with the served recogniser's code inline. Raises ``AgentError``."""
    engine = BothEngine(open_words(), ManyDecoders(lambda: open_engine("pocketsphinx", "")))
    return ears_of(system, rows, InlineRecogniser(engine), weights)
