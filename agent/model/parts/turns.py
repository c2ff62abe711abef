"""Words of each row's turn: utterances put together, and what they mean for endpoint and overlap."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agent.expectation import NOTHING_KNOWN, Expect
from agent.model.parts.completeness import match
from agent.model.parts.endpoint import needed_silence_ms, needed_silence_without_words_ms
from agent.model.parts.length import is_too_long, misfits
from agent.model.parts.overlap import Verdict, judge
from agent.model.parts.recogniser import Hypothesis, Mode
from agent.model.parts.sense import Sense, sense_of

Words = tuple[str, ...]


@dataclass(slots=True)
class Turn:
    """One row's turn as the ears know it."""

    expect: Expect = NOTHING_KNOWN
    earlier: Words = ()
    """Words of utterances that are over."""
    current: Words = ()
    confidence: float = 0.0
    utterance: int | None = None
    """Number of the utterance that is listened to, or whose final words are awaited."""
    utterance_began: int = 0
    """Media position of the utterance's first sample."""
    overlap: bool = False
    """The turn began under our voice."""
    open: bool = False
    """Speech since the last end."""
    ended_at: int | None = None
    """Media position where the end was called."""
    spoken_over_ms: int = 0
    """Our voice since the end was called."""
    said: tuple[Words, bool] = ((), False)
    """Words and finality as last told."""
    changed_at: int = 0
    """Media position at which the words changed last."""
    sure: bool = False
    """They need nothing to confirm them."""
    verdict: Verdict = Verdict.UNDECIDED
    takes_surely: bool = False
    """By words that need nothing to confirm them."""
    spoken_ms: int = 0
    """Speech of the turn so far, pauses not counted."""
    heard_to: int = 0
    """Media position up to which the words were heard."""
    scores: list[float] = field(default_factory=list)
    """Confidence of the utterances that are over."""

    @property
    def words(self) -> Words:
        return self.earlier + self.current

    @property
    def awaits_words(self) -> bool:
        """The recogniser still works on this turn."""
        return self.utterance is not None

    def begin(self, *, overlap: bool) -> None:
        """A new turn: what was said before belongs to the last one."""
        self.earlier, self.current, self.scores = (), (), []
        self.confidence, self.verdict, self.spoken_ms = 0.0, Verdict.UNDECIDED, 0
        self.sure = self.takes_surely = False
        self.overlap, self.open = overlap, True
        self.ended_at, self.spoken_over_ms = None, 0
        self.said = ((), False)

    def close_utterance(self) -> None:
        """The utterance's words are final: the next one's come behind them."""
        if self.current:
            self.earlier += self.current
            self.scores.append(self.confidence)
        self.current, self.sure = (), False
        self.utterance = None

    def take(self, found: Hypothesis) -> bool:
        """Take in a hypothesis of the current utterance; True when the words have changed."""
        before = self.words
        self.current = found.words
        self.confidence = found.confidence
        self.heard_to = self.utterance_began + found.samples
        if found.final:
            self.close_utterance()
        self.sure = found.sure
        return self.words != before

    def mean_confidence(self) -> float:
        scores = [*self.scores, self.confidence] if self.current else self.scores
        return sum(scores) / len(scores) if scores else 0.0

    def needed_silence_ms(self, *, gives_words: bool) -> int:
        """Silence that ends this turn as it stands now."""
        if not gives_words:
            return needed_silence_without_words_ms(self.expect, self.spoken_ms)
        return needed_silence_ms(match(self.words, self.expect), misheard=misfits(self.words, self.spoken_ms))

    @property
    def sense(self) -> Sense:
        """What the words so far say about the end of the turn."""
        found = match(self.words, self.expect)
        return sense_of(found, self.expect, misheard=is_too_long(self.words, self.spoken_ms))

    def judge_overlap(self, speech_ms: int) -> None:
        """What the words so far say about an overlap. "Takes" stays: what was said cannot be unsaid."""
        if self.takes_surely or (self.verdict is Verdict.TAKES and not self.sure):
            return
        found = judge(self.words, self.expect, speech_ms, sure=self.sure)
        self.takes_surely = self.sure and found is Verdict.TAKES
        if self.verdict is not Verdict.TAKES:
            self.verdict = found

    @property
    def mode(self) -> Mode:
        return Mode.OVERLAP if self.overlap else Mode.ANSWER

    def to_json(self) -> dict[str, Any]:
        """What another worker needs to go on; an utterance in progress ends with the words it has."""
        return {
            "expect": self.expect.to_json(),
            "words": self.words,
            "confidence": self.mean_confidence(),
            "overlap": self.overlap,
            "open": self.open,
            "ended_at": self.ended_at,
            "spoken_over_ms": self.spoken_over_ms,
            "verdict": self.verdict.value,
            "takes_surely": self.takes_surely,
            "spoken_ms": self.spoken_ms,
            "heard_to": self.heard_to,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Turn:
        words = tuple(data["words"])
        return cls(
            expect=Expect.from_json(data["expect"]),
            earlier=words,
            scores=[float(data["confidence"])] if words else [],
            overlap=bool(data["overlap"]),
            open=bool(data["open"]),
            ended_at=data["ended_at"],
            spoken_over_ms=int(data["spoken_over_ms"]),
            verdict=Verdict(data["verdict"]),
            takes_surely=bool(data["takes_surely"]),
            spoken_ms=int(data["spoken_ms"]),
            heard_to=int(data["heard_to"]),
        )
