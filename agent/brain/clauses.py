"""A text that comes word by word, cut into pieces that can be spoken while the rest is still to come. Pure.

The first piece is short (the caller waits for it), later ones are sentences: each is an utterance of its own.
"""

from __future__ import annotations

import re
from typing import Final

FIRST_WORDS: Final = 3
"""From here on a comma ends the first piece."""
LATER_WORDS: Final = 12
"""From here on a comma ends a later piece."""
MOST_WORDS: Final = 40
"""A piece without any mark is cut here."""

_SENTENCE = re.compile(r"[.!?…]+[\"')\]]*(?=\s)|\n")
_PHRASE = re.compile(r"[,;:—–][\"')\]]*(?=\s)")
_ABBREVIATION = re.compile(r"(?:\b(?:mr|mrs|ms|dr|st|no|vs|etc|e\.g|i\.e|approx)|\b[A-Za-z]|^\s*\d+)\.$", re.IGNORECASE)
_LINE_MARKS = re.compile(r"^\s*(?:[-*•>]|#+)\s+", re.MULTILINE)
_MARKS = re.compile(r"[*_`~]+(?=\S)|(?<=\S)[*_`~]+")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def speakable(text: str) -> str:
    """Without the marks of written text (Markdown) and with single spaces."""
    return " ".join(_MARKS.sub("", _LINE_MARKS.sub("", _LINK.sub(r"\1", text))).split())


class ClauseCutter:
    """Feed the text as it comes, get the pieces that are complete."""

    def __init__(self) -> None:
        self._text = ""
        self._is_first = True

    def feed(self, text: str) -> list[str]:
        """Pieces that end in ``text``, ready to be spoken."""
        self._text += text
        pieces = []
        while (end := self._cut()) is not None:
            piece, self._text = speakable(self._text[:end]), self._text[end:]
            if piece:
                pieces.append(piece)
                self._is_first = False
        return pieces

    def rest(self) -> str:
        """What is left when nothing more comes; empty where there is nothing."""
        piece, self._text = speakable(self._text), ""
        return piece

    def _cut(self) -> int | None:
        text = self._text
        for match in _SENTENCE.finditer(text):
            if not _ABBREVIATION.search(text[: match.end()].rstrip("\n")):
                return match.end()
        least = FIRST_WORDS if self._is_first else LATER_WORDS
        for match in _PHRASE.finditer(text):
            if len(text[: match.end()].split()) >= least:
                return match.end()
        words = list(re.finditer(r"\S+\s", text))
        return words[MOST_WORDS - 1].end() if len(words) >= MOST_WORDS else None
