"""What is being said, and how much of it the caller has heard. Pure.

Positions are words of the whole answer. What the caller has heard comes from outside (samples played out) and is the
only truth: nothing counts as said because it was asked to be said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from agent.brain.flow.words import bare

_CLAUSE_END = re.compile(r"[,;:.!?\u2014\u2013]+[\"')]*$")
_ALIKE = 0.6  # a voice may write words its own way ("10" as "ten"): from here on it is the same line


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One text that is said."""

    text: str
    interruptible: bool = True
    is_answer: bool = False
    """What the caller asked for, not a question of ours."""
    value_words: int = 0
    """Words that must be heard for the values read back in it to be heard; 0: it reads nothing back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """An answer, line by line, and how far it has been heard."""

    lines: tuple[Line, ...] = ()
    heard_words: int = 0

    @property
    def words(self) -> list[str]:
        return [word for line in self.lines for word in line.text.split()]

    @property
    def value_is_heard(self) -> bool:
        """Every value read back in this answer was heard whole; ``False`` where none was read back."""
        at = 0
        found = False
        for line in self.lines:
            if line.value_words:
                found = True
                if self.heard_words < at + line.value_words:
                    return False
            at += len(line.text.split())
        return found

    def hear(self, heard: str, unheard: str = "") -> Speech | None:
        """This answer after ``heard``, cut before ``unheard`` (empty: all of the text was heard).

        ``None`` where the text is no part of what is still unheard here (a filler, or an answer that was taken back).
        """
        at = self._find([bare(word) for word in heard.split()], [bare(word) for word in unheard.split()])
        return None if at is None else replace(self, heard_words=max(self.heard_words, at))

    def _find(self, heard: list[str], unheard: list[str]) -> int | None:
        """Position after ``heard``. The text may begin where hearing stopped or at a line, and cover several lines."""
        words = [bare(word) for word in self.words]
        text = heard + unheard
        if not text:
            return None
        bounds = self._open_lines()
        for start in (self.heard_words, *(start for start, _ in bounds)):
            if words[start : start + len(text)] == text:
                return start + len(heard)
        for start, end in [*bounds, *((start, len(words)) for start, _ in bounds)]:
            if SequenceMatcher(None, words[start:end], text, autojunk=False).ratio() >= _ALIKE:
                return start + round((end - start) * len(heard) / len(text))
        return None

    def _open_lines(self) -> list[tuple[int, int]]:
        """First word and end of each line that was not heard to its end."""
        bounds: list[tuple[int, int]] = []
        at = 0
        for line in self.lines:
            end = at + len(line.text.split())
            if end > self.heard_words:
                bounds.append((at, end))
            at = end
        return bounds

    def rest(self) -> tuple[Line, ...]:
        """What was not heard, from the beginning of the clause that was cut."""
        rest: list[Line] = []
        at = 0
        for line in self.lines:
            words = line.text.split()
            heard = min(len(words), max(0, self.heard_words - at))
            at += len(words)
            if heard < len(words):
                start = clause_start(words, heard)
                value_words = max(0, line.value_words - start)
                rest.append(replace(line, text=" ".join(words[start:]), value_words=value_words))
        return tuple(rest)


def clause_start(words: Sequence[str], at: int) -> int:
    """First word of the clause that word ``at`` belongs to."""
    while at > 0 and not _CLAUSE_END.search(words[at - 1]):
        at -= 1
    return at
