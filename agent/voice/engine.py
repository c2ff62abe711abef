"""What a synthesiser is: plain synchronous code that runs in a voice process, one clause at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.errors import AgentError

Times = tuple[tuple[int, int], ...]
"""``(start, end)`` of each word in 8 kHz samples from the clause's start."""


@dataclass(frozen=True, slots=True)
class ClauseJob:
    """One clause to say."""

    words: tuple[str, ...]
    """For each word of the dialogue what is spoken for it (several words for a number)."""
    mark: str
    """Punctuation behind the clause, for its melody."""
    first_word: int
    """Index of the first word in its utterance."""

    @property
    def text(self) -> str:
        return " ".join(self.words) + ("," if self.mark in {"-", ";", ":"} else self.mark)


Emit = Callable[[NDArray[np.int16], Times | None], bool]
"""Takes 8 kHz samples, with the first piece the times of all words; false = stop, nobody listens any more."""


class Engine(Protocol):
    """A synthesiser."""

    @property
    def exact(self) -> bool:
        """Word times are known, not estimated."""
        ...

    def say(self, job: ClauseJob, emit: Emit) -> None:
        """Speak one clause piece by piece. Raises ``VoiceFailed``."""
        ...


class NotAligned(AgentError):
    """The words of a clause could not be found in its audio."""


def spread(groups: Sequence[str], spoken: Times) -> Times:
    """Times of the dialogue's words from those of the spoken words; ``groups``: what is spoken for each."""
    out: list[tuple[int, int]] = []
    at = 0
    for group in groups:
        count = len(group.split())
        part = spoken[at : at + count]
        at += count
        before = out[-1][1] if out else 0
        out.append((part[0][0], part[-1][1]) if part else (before, before))
    return tuple(out)
