"""Yes and no in their many forms. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_NO = re.compile(
    r"\b(?:that is not|is not|not|not quite|not really) (?:right|correct|it|true|ok|okay)\b"
    r"|\b(?:please )?do not\b|\bnot (?:now|really|at all|quite)\b|\bno(?: thanks?| thank you| way)?\b"
    r"|\b(?:nope|nah|wrong|incorrect|negative|false|never|neither)\b"
)
_YES = re.compile(
    r"\b(?:yes|yeah|yep|yup|yah|ya|aye|correct|right|exactly|sure|okay|ok|absolutely|definitely|certainly|indeed"
    r"|of course|go ahead|please do|do it|do that|sounds good|that is (?:it|fine|good|great|perfect|the one)|perfect"
    r"|affirmative|true|fine)\b"
)
_AROUND = re.compile(
    r"\b(?:that|it|this|is|was|please|thanks|thank|you|all|oh|uh|um|er|well|i|think|so|guess|do|s|the|number|very"
    r"|much|and|a|hm|mhm)\b"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class YesNo:
    """``answer`` is ``None`` where neither or both were said."""

    answer: bool | None
    alone: bool
    """Nothing else was said."""


def read_yes_no(tokens: Sequence[str]) -> YesNo:
    """Yes or no in normalised ``tokens``. "not right" is a no; "no, that is right" is neither."""
    text = " ".join(tokens)
    without_no, nos = _NO.subn(" ", text)
    rest, yeses = _YES.subn(" ", without_no)
    answer = None if bool(nos) == bool(yeses) else bool(yeses)
    return YesNo(answer=answer, alone=answer is not None and not _AROUND.sub(" ", rest).split())
