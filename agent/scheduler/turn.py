"""The words of a caller's turn, as the ears tell and correct them. Pure.

Ears may cut their segments elsewhere than the floor its turns: words of a later segment are added to those of
finished ones, words of the running segment replace each other.
"""

from __future__ import annotations

from dataclasses import replace

from agent.model.protocol import HeardWords


def _joined(before: tuple[str, ...], words: tuple[str, ...]) -> tuple[str, ...]:
    """``before`` and ``words``; ears that do not cut tell the whole turn again, and then ``words`` is all."""
    return words if words[: len(before)] == before else before + words


class TurnText:
    """Words of the running turn; ``revision`` grows with each change of them."""

    __slots__ = (
        "_ended",
        "_latest",
        "_passed",
        "_previous",
        "_segment_end",
        "_settled",
        "confidence",
        "final",
        "number",
        "revision",
        "words",
    )

    def __init__(self) -> None:
        self.number = 0
        self.revision = 0
        self.words: tuple[str, ...] = ()
        self.confidence = 0.0
        self.final = False
        self._settled: tuple[str, ...] = ()
        """Words of segments that the ears have finished."""
        self._previous: tuple[str, ...] = ()
        """Words of the turn that has ended, while those of the next (or of its rest) come in."""
        self._segment_end: int | None = None
        self._ended = False
        self._latest: tuple[str, ...] = ()
        """What the ears told last, as they told it."""
        self._passed: tuple[str, ...] = ()
        """Words that the ears may tell again before new ones, and that belong to no turn any more."""

    @property
    def has_new_words(self) -> bool:
        """Words came that do not belong to a turn that has ended."""
        return bool(self.words) and not self._ended

    def begin(self) -> None:
        """The next turn. Words that came before it was known to be one stay: they began it."""
        if self._ended:
            self.clear()
        self.number += 1
        self.revision = 1 if self.words else 0
        self._previous = ()

    def end(self, *, runs_on: bool = False) -> None:
        """The turn has ended; it may be reopened. ``runs_on``: what the caller still says of it counts for nothing."""
        self._ended = True
        if runs_on:
            self._passed = self._latest

    def reopen(self) -> None:
        """The turn that had ended goes on. Final words stay and the rest is added; others are told again, whole."""
        if self._ended:
            self._settled = self.words if self.final else ()
        else:
            self._settled = self._previous
            self.words = _joined(self._previous, self.words)
            self.revision += 1
        self._ended, self.final = False, False

    def clear(self) -> None:
        """Forget the words: an overlap that was no turn."""
        self.words, self._settled, self._previous = (), (), ()
        self.confidence, self.final, self._segment_end, self._ended = 0.0, False, None, False

    def pass_over(self, heard: HeardWords) -> None:
        """Words that belong to no turn: those of one that runs on, or that come late."""
        if self._passed:
            self._passed = heard.words

    def _new_of(self, heard: HeardWords) -> HeardWords:
        """``heard`` without what was passed over: ears that do not cut where the floor did tell that again, whole."""
        passed = len(self._passed)
        if len(heard.words) < passed:
            self._passed = ()  # fewer than before: they have begun anew
            return heard
        return replace(heard, words=heard.words[passed:])

    def update(self, heard: HeardWords) -> bool:
        """Take in what the ears say; true if the words, or their being final, have changed."""
        self._latest = heard.words
        if self._passed:
            heard = self._new_of(heard)
        if self._ended:
            previous = self.words if self.final else ()
            self.clear()
            self._previous = previous
        if self.final and not (heard.final and heard.end_samples == self._segment_end):
            self._settled = self.words
        words = _joined(self._settled, heard.words)
        if words == self.words and heard.final == self.final:
            return False
        if words != self.words:
            self.revision += 1
        self.words, self.confidence, self.final = words, heard.confidence, heard.final
        self._segment_end = heard.end_samples
        return True
