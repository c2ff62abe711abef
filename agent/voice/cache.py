"""Phrases that were spoken before: whole clauses, forgotten in order of their last use."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.voice.engine import Times

Key = tuple[str, str, str]
"""Engine, voice name, text of the clause."""
MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Phrase:
    """One rendered clause, without the pause behind it."""

    pcm: NDArray[np.int16]
    times: Times


class PhraseCache:
    """Bounded by phrases and by bytes; 0 phrases switches it off."""

    def __init__(self, most_phrases: int, most_bytes: int = MOST_BYTES) -> None:
        self.hits = 0
        self.misses = 0
        self.size_bytes = 0
        self._most_phrases, self._most_bytes = most_phrases, most_bytes
        self._phrases: OrderedDict[Key, Phrase] = OrderedDict()

    def __len__(self) -> int:
        return len(self._phrases)

    def __contains__(self, key: Key) -> bool:
        return key in self._phrases

    def get(self, key: Key) -> Phrase | None:
        phrase = self._phrases.get(key)
        if phrase is None:
            self.misses += 1
            return None
        self.hits += 1
        self._phrases.move_to_end(key)
        return phrase

    def put(self, key: Key, phrase: Phrase) -> None:
        """Remember ``phrase``; its samples become read-only, every hearer shares them."""
        phrase.pcm.setflags(write=False)
        if (old := self._phrases.pop(key, None)) is not None:
            self.size_bytes -= old.pcm.nbytes
        self._phrases[key] = phrase
        self.size_bytes += phrase.pcm.nbytes
        while self._phrases and (len(self._phrases) > self._most_phrases or self.size_bytes > self._most_bytes):
            _, gone = self._phrases.popitem(last=False)
            self.size_bytes -= gone.pcm.nbytes
