"""The words of a caller's turn, as the ears tell and correct them. Pure.

Ears may cut their segments elsewhere than the floor its turns: words of a later segment are added to those of
finished ones, words of the running segment replace each other.
"""

from __future__ import annotations

from agent.model.protocol import HeardWords


class TurnText:
    """Words of the running turn; ``revision`` grows with each change of them."""

    __slots__ = ("_segment_end", "_settled", "confidence", "final", "number", "revision", "words")

    def __init__(self) -> None:
        self.number = 0
        self.revision = 0
        self.words: tuple[str, ...] = ()
        self.confidence = 0.0
        self.final = False
        self._settled: tuple[str, ...] = ()
        """Words of segments that the ears have finished."""
        self._segment_end: int | None = None

    def begin(self) -> None:
        """The next turn. Words that were heard before it was known to be one stay: they began it."""
        self.number += 1
        self.revision = 1 if self.words else 0

    def settle(self) -> None:
        """The turn was ended: if it goes on after all, new words are added to these."""
        self._settled = self.words
        self.final = True

    def clear(self) -> None:
        """Forget the words (an overlap that was no turn; a turn that is over)."""
        self.words, self._settled, self.confidence, self.final, self._segment_end = (), (), 0.0, False, None

    def update(self, heard: HeardWords) -> bool:
        """Take in what the ears say; true if words, or their being final, have changed."""
        if self.final and not (heard.final and heard.end_samples == self._segment_end):
            self._settled = self.words
        settled = self._settled
        repeats = heard.words[: len(settled)] == settled  # these ears do not cut: they tell the whole turn again
        words = heard.words if repeats else settled + heard.words
        changed = words != self.words
        if not changed and heard.final == self.final:
            return False
        self.revision += changed
        self.words, self.confidence, self.final = words, heard.confidence, heard.final
        self._segment_end = heard.end_samples
        return True
