"""The words of one row's utterances, put together from what a service transcribes, when it does. Pure.

A service may answer late: words that are still owed when the next utterance begins come in front of its own. Words
that were told already stay where they were told.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Final

SETTLE_S: Final = 0.25
"""A streaming service that has given final words and then nothing for that long has said all."""
FINAL_S: Final = 2.0
"""After the end of an utterance; then what is there must do."""
CONFIDENCE: Final = 0.7
"""Services give none that can be compared."""
MOST_WORDS: Final = 200
"""Of an utterance: services that hear what nobody said say it at length."""
_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

Words = tuple[str, ...]


def words_of(text: str) -> Words:
    """A transcript as words: lower case, without punctuation."""
    return tuple(word.replace("’", "'") for word in _WORD.findall(text.lower()))


@dataclass(slots=True)
class Utterance:
    number: int
    carried: Words = ()
    """Owed by the utterance before."""
    finals: list[str] = field(default_factory=list)
    interim: str = ""
    samples: int = 0
    stopped_at: float | None = None
    last_final_at: float | None = None
    told: Words = ()
    is_done: bool = False
    """The service has said all."""

    @property
    def words(self) -> Words:
        return (self.carried + words_of(" ".join((*self.finals, self.interim))))[:MOST_WORDS]

    def is_final(self, now: float) -> bool:
        if self.stopped_at is None:
            return False
        if self.is_done or now - self.stopped_at >= FINAL_S:
            return True
        return self.last_final_at is not None and now - self.last_final_at >= SETTLE_S


class Listening:
    """The utterances of one row."""

    def __init__(self, *, segmented: bool) -> None:
        """``segmented``: the service transcribes whole utterances, one after the other, and is done with each."""
        self._segmented = segmented
        self.current: Utterance | None = None
        self._segments: deque[Utterance] = deque()
        """Those that the service was given whole and has not transcribed, oldest first."""

    def start(self, number: int) -> None:
        before = self.current
        self.current = Utterance(number)
        if before is not None and before.stopped_at is not None:
            self.current.carried = before.words[len(before.told) :]

    def stop(self, now: float) -> Utterance | None:
        """The utterance is over; it, or ``None`` where there is none."""
        if self.current is not None:
            self.current.stopped_at = now
            if self._segmented:
                self._segments.append(self.current)
        return self.current

    def text(self, text: str, *, final: bool, done: bool, now: float) -> None:
        """A transcript came; ``done``: the service calls it the last of what it was given."""
        whose = self._segments[0] if self._segments else self.current
        if whose is None:
            return
        if not final:
            whose.interim = text
            return
        if whose is not self.current and self.current is not None:
            self.current.carried += words_of(text)
            return
        whose.finals.append(text)
        whose.interim = ""
        if whose.stopped_at is not None and not self._segmented:
            whose.last_final_at = now
            whose.is_done = whose.is_done or done

    def segment_done(self) -> None:
        """The service is done with the oldest segment."""
        if self._segments:
            self._segments.popleft().is_done = True

    def news(self, now: float) -> tuple[Utterance, bool] | None:
        """What is to be told: the utterance, and whether that is its last word."""
        utterance = self.current
        if utterance is None:
            return None
        if utterance.is_final(now) and not any(one is not utterance for one in self._segments):
            self.current = None
            return utterance, True
        if utterance.stopped_at is not None and now - utterance.stopped_at >= FINAL_S:
            self.current = None
            return utterance, True
        if utterance.words == utterance.told:
            return None
        utterance.told = utterance.words
        return utterance, False

    def due_at(self) -> float | None:
        """When ``news`` must be asked again even if nothing comes."""
        waiting = [*self._segments, *([self.current] if self.current is not None else [])]
        due = [one.stopped_at + FINAL_S for one in waiting if one.stopped_at is not None]
        due += [one.last_final_at + SETTLE_S for one in waiting if one.last_final_at is not None]
        return min(due, default=None)

    def is_stuck(self, now: float) -> bool:
        """The service still holds a segment that nobody waits for any more: the next ones would wait behind it."""
        return any(one.stopped_at is not None and now - one.stopped_at >= FINAL_S for one in self._segments)

    def give_up(self) -> Utterance | None:
        """The service is gone: the utterance in progress ends with what it has."""
        utterance, self.current = self.current, None
        self._segments.clear()
        return utterance
