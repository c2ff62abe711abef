"""What the words of a turn say about its end, for a judge that hears the sound as well. Pure.

The words of one who is not expected are often heard wrongly: a beginning that does not fit the length of its speech
tells nothing, and a last word like "my" or "the" tells more than the phrase that it happens to begin.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from agent.expectation import Expect, ExpectKind
from agent.model.parts.completeness import Match, State

VALUES: Final = (ExpectKind.DIGITS, ExpectKind.YES_NO, ExpectKind.DATE)


class Sense(IntEnum):
    """Which of them wait for more is told by tables (``agent.model.small.rules``)."""

    NOTHING = 0
    """Nobody listens for words."""
    OTHER = 1
    """Words of no answer, fewer words than were said, or none."""
    HANGING = 2
    """The last word cannot end a sentence."""
    PHRASE_BEGUN = 3
    PHRASE_HANGS = 4
    """Nothing but the beginning of a phrase, and its last word cannot end a sentence."""
    VALUE_BEGUN = 5
    """Of a number, a day, a yes or no: known too well to be misheard."""
    PHRASE = 6
    VALUE = 7


def sense_of(found: Match, expect: Expect, *, misheard: bool) -> Sense:
    """``found``: how the words stand to ``expect``; ``misheard``: the speech was too long for them."""
    if found.state is State.SILENT:
        return Sense.OTHER
    value = found.answer in VALUES
    if found.state is State.COMPLETE:
        return Sense.VALUE if value else Sense.PHRASE
    if value and found.state is State.PREFIX:
        return Sense.VALUE_BEGUN
    if expect.kind in VALUES:
        return Sense.PHRASE_BEGUN if found.state is State.PREFIX else Sense.OTHER
    if misheard:
        return Sense.OTHER
    if found.hanging:
        return Sense.PHRASE_HANGS if found.whole else Sense.HANGING
    return Sense.PHRASE_BEGUN if found.state is State.PREFIX else Sense.OTHER
