"""How long words usually take to say: words that do not fit the length of their speech were heard wrongly."""

from __future__ import annotations

from collections.abc import Sequence

UTTERANCE_MS = 60
WORD_MS = 94
LETTER_MS = 45
"""Least squares over 900 utterances of five synthetic voices at their own pace, 0.96 to 1.04 times: 1 % take 1.35 times
as long or longer."""
TOO_LONG = 1.45
TOO_SHORT = 0.72
"""3 % of those heard right are as quick."""


def usual_ms(words: Sequence[str]) -> int:
    """Speech that ``words`` take, pauses not counted."""
    return UTTERANCE_MS + WORD_MS * len(words) + LETTER_MS * sum(map(len, words)) if words else 0


def misfits(words: Sequence[str], spoken_ms: int) -> bool:
    """``spoken_ms`` of speech are too long or too short for ``words``: something else was said."""
    return spoken_ms < TOO_SHORT * usual_ms(words) or is_too_long(words, spoken_ms)


def is_too_long(words: Sequence[str], spoken_ms: int) -> bool:
    """``spoken_ms`` of speech are too long for ``words``: some of what was said was not heard."""
    return spoken_ms > TOO_LONG * usual_ms(words)
