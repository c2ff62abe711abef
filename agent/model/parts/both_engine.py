"""Two recognisers in one process: our own net for numbers, dates, yes and no; PocketSphinx for phrases and overlaps.

Each hears what it hears better (measured: docs/reference/model_card_small_words.md): the net asks again for half as
many digits as PocketSphinx and takes almost nothing for one that is none; PocketSphinx knows sentences better. Where
one has no stream left the other listens.
"""

from __future__ import annotations

from typing import Final

from agent.expectation import Expect, ExpectKind
from agent.model.parts.engine import Engine, Stream
from agent.model.parts.recogniser import Mode

SHORT: Final = frozenset({ExpectKind.DIGITS, ExpectKind.YES_NO, ExpectKind.DATE})
"""What the net hears, while our voice is silent."""


def is_short(expect: Expect, mode: Mode) -> bool:
    """Whether the net is to hear it."""
    return mode is Mode.ANSWER and expect.kind in SHORT


class BothEngine:
    """See ``agent.model.parts.engine.Engine``."""

    def __init__(self, short: Engine, phrases: Engine) -> None:
        self._short, self._phrases = short, phrases

    def open(self, expect: Expect, mode: Mode) -> Stream | None:
        first, other = self._short, self._phrases
        if not is_short(expect, mode):
            first, other = other, first
        return first.open(expect, mode) or other.open(expect, mode)

    def prepare(self) -> bool:
        more = self._short.prepare()
        return self._phrases.prepare() or more
