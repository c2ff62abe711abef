"""Words of both sides as a conversation. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

GAP_S: Final = 0.8
"""A longer silence of a speaker begins a new line (as live protocols group their transcripts)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    text: str
    """With its punctuation."""
    start_s: float
    end_s: float
    probability: float
    """0..1, the model's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one speaker said without a long pause."""

    speaker: str
    """``caller``, ``agent``, or ``call`` where a recording has one channel."""
    words: tuple[Word, ...]

    @property
    def start_s(self) -> float:
        return self.words[0].start_s

    @property
    def end_s(self) -> float:
        return self.words[-1].end_s

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def confidence(self) -> float:
        return sum(word.probability for word in self.words) / len(self.words)

    def to_json(self) -> dict[str, Any]:
        return {
            "speaker": self.speaker,
            "start_s": round(self.start_s, 2),
            "end_s": round(self.end_s, 2),
            "text": self.text,
            "confidence": round(self.confidence, 3),
            "words": [
                {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(word).items()}
                for word in self.words
            ],
        }


def conversation(words: Mapping[str, Sequence[Word]]) -> list[Said]:
    """Each speaker's words in lines, all lines in order of their beginning."""
    lines = [said for speaker, spoken in words.items() for said in _lines(speaker, spoken)]
    return sorted(lines, key=lambda said: (said.start_s, said.end_s))


def _lines(speaker: str, words: Iterable[Word]) -> list[Said]:
    groups: list[list[Word]] = []
    for word in words:
        if not groups or word.start_s - groups[-1][-1].end_s > GAP_S:
            groups.append([])
        groups[-1].append(word)
    return [Said(speaker=speaker, words=tuple(group)) for group in groups]


def as_text(lines: Sequence[Said]) -> str:
    """For people: ``0:01.2  caller  …``."""
    width = max((len(said.speaker) for said in lines), default=0)
    return "\n".join(f"{_clock(said.start_s)}  {said.speaker:<{width}}  {said.text}" for said in lines)


def _clock(seconds: float) -> str:
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"
