"""A text as clauses: short enough that the first is spoken at once, long enough to sound like speech. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent.voice.engine import Times
from agent.voice.normalise import Token, tokens
from agent.voice.protocol import WordSpan

MOST_WORDS: Final = 12
"""Spoken words of a clause; flite's first sample costs about 2.5 ms of CPU per word."""
LEAST_WORDS: Final = 3
"""A shorter piece before a comma stays with what follows: alone it would sound chopped."""
PAUSE_MS: Final = {".": 320, "!": 320, "?": 320, ";": 220, ":": 220, "-": 180, ",": 140, "": 20}
LAST_PAUSE_MS: Final = 80
"""Behind the last clause: more would hold the floor with silence."""
STRONG_JOINTS: Final = ("and", "but", "or", "because", "which", "that", "so", "if", "when")
WEAK_JOINTS: Final = ("for", "to", "with", "at", "from", "between")
JOINTS: Final = dict.fromkeys(STRONG_JOINTS, 0.0) | dict.fromkeys(WEAK_JOINTS, 3.0)
"""Words before which a clause without punctuation may be cut, and what that costs (in words off the middle)."""
NO_JOINT: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """What is spoken in one piece."""

    tokens: tuple[Token, ...]
    mark: str
    """How it ends: the mark of its last token."""
    first_word: int
    """Index of its first token in the utterance."""
    last: bool
    """Nothing follows in the utterance."""

    @property
    def text(self) -> str:
        """The dialogue's own words: with the voice the key of the phrase cache."""
        return " ".join(token.source for token in self.tokens)

    @property
    def pause_ms(self) -> int:
        return LAST_PAUSE_MS if self.last else PAUSE_MS[self.mark]


def spans(clause: Clause, times: Times, number: int, at: int) -> tuple[WordSpan, ...]:
    """Words of the clause with this ``number``, which begins ``at`` samples into its utterance."""
    return tuple(
        WordSpan(text=token.source, start=at + start, end=at + end, clause=number)
        for token, (start, end) in zip(clause.tokens, times, strict=True)
    )


def split(text: str) -> list[Clause]:
    """Clauses of a text in order; ``" ".join(clause.text …)`` is the text with single spaces."""
    groups: list[list[Token]] = []
    for sentence in _sentences(tokens(text)):
        groups += _shorten(_phrases(sentence))
    clauses, at = [], 0
    for index, group in enumerate(groups):
        last = index == len(groups) - 1
        clauses.append(Clause(tokens=tuple(group), mark=group[-1].mark, first_word=at, last=last))
        at += len(group)
    return clauses


def _sentences(found: list[Token]) -> list[list[Token]]:
    return _cut_after(found, ".!?")


def _phrases(sentence: list[Token]) -> list[list[Token]]:
    """Pieces between marks inside a sentence; pieces under ``LEAST_WORDS`` join their neighbour where there is room."""
    merged: list[list[Token]] = []
    for piece in _cut_after(sentence, ",;:-"):
        short = merged and (_words(merged[-1]) < LEAST_WORDS or _words(piece) < LEAST_WORDS)
        if short and _words(merged[-1]) + _words(piece) <= MOST_WORDS:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def _cut_after(found: list[Token], marks: str) -> list[list[Token]]:
    pieces: list[list[Token]] = [[]]
    for token in found:
        pieces[-1].append(token)
        if token.mark and token.mark in marks:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _words(piece: list[Token]) -> int:
    return sum(len(token.spoken.split()) for token in piece)


def _shorten(phrases: list[list[Token]]) -> list[list[Token]]:
    """Cut phrases of more than ``MOST_WORDS`` before a joining word near their middle, else in the middle."""
    out: list[list[Token]] = []
    for phrase in phrases:
        if _words(phrase) <= MOST_WORDS or len(phrase) == 1:
            out.append(phrase)
            continue
        cut = _best_cut(phrase)
        out += _shorten([phrase[:cut], phrase[cut:]])
    return out


def _best_cut(phrase: list[Token]) -> int:
    """Index at which to cut: the first half no longer than ``MOST_WORDS``, joining words preferred."""
    half = _words(phrase) / 2

    def cost(cut: int) -> float:
        before = _words(phrase[:cut])
        joint = JOINTS.get(phrase[cut].spoken.split()[0].lower(), NO_JOINT)
        return abs(before - half) + joint + (100 if before > MOST_WORDS else 0)

    return min(range(1, len(phrase)), key=cost)
