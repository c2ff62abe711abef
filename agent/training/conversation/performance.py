"""A caller's turn as sound: breaths joined by pauses, pauses put into breaths, recorded clips strung together."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.training.conversation.labels import Span, bridged
from agent.training.conversation.pauses import RATE_HZ, silence
from agent.training.text.answer import Answer, Breath
from agent.training.voices.human import HumanBank, HumanClip, pick
from agent.training.voices.persona import Persona
from agent.training.voices.spoken import Audio, Spoken, Word, active_runs, trimmed

Rng = np.random.Generator
CUT_TAKEN: Final = 0.75
"""Chance that a place for a pause gets one."""
LONG_BREATH: Final = 5
STOPS_ANYWHERE: Final = 0.35
"""Chance that a breath of five words or more stops at any word: people do not stop at clauses only."""
END_MELODY: Final = 0.65
"""Chance that a breath before a pause falls as at an end; else it stays up."""
FADE: Final = 24
OWN_PAUSE: Final = 1600
"""A synthesiser's own silences from 0.2 s on are made as long as ours are: they too would teach a timer."""
NEAR: Final = 480
"""A cut is moved by up to 60 ms to where it is quietest."""
DIGIT_GAP_S: Final = (0.0, 0.16)
"""Between recorded digits of one group; groups are a pause apart."""


@dataclass(frozen=True, slots=True)
class Performed:
    """A turn as sound; it begins and ends with an audible sample."""

    pcm: Audio
    words: tuple[Word, ...]
    exact: bool
    speech: tuple[Span, ...]
    text: str
    finished: bool = True


def perform(answer: Answer, persona: Persona, rng: Rng, *, question: bool = False) -> Performed:
    """A synthetic caller's turn. Raises ``VoiceFailed``."""
    parts: list[Spoken] = []
    last = len(answer.breaths) - 1
    for index, breath in enumerate(answer.breaths):
        mark = ("?" if question else ".") if index == last or rng.random() < END_MELODY else ","
        parts += _with_pauses(persona.say(breath.text, rng, mark=mark), breath, rng)
    return joined(parts, [silence(rng) for _ in parts[1:]])


def joined(parts: list[Spoken], gaps: list[int], *, finished: bool = True) -> Performed:
    """Speech with silences of ``gaps`` samples between its parts."""
    pieces: list[Audio] = []
    words: list[Word] = []
    speech: list[Span] = []
    at = 0
    for index, part in enumerate(parts):
        pieces.append(part.pcm)
        words += [Word(word.text, at + word.start, at + word.end) for word in part.words]
        speech += [(at + start, at + end) for start, end in active_runs(part.pcm)]
        at += part.pcm.size
        if index < len(gaps):
            pieces.append(np.zeros(gaps[index], np.float32))
            at += gaps[index]
    pcm = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    exact = all(part.exact for part in parts)
    return Performed(pcm, tuple(words), exact, tuple(bridged(speech)), " ".join(w.text for w in words), finished)


def _with_pauses(spoken: Spoken, breath: Breath, rng: Rng) -> list[Spoken]:
    """A breath as pieces, cut where words end and a pause is drawn (a cut without the melody of an end)."""
    places: list[int] = []
    if len(spoken.words) == len(breath.words):
        cuts = [count for count in breath.cuts if rng.random() < CUT_TAKEN]
        if len(breath.words) >= LONG_BREATH and rng.random() < STOPS_ANYWHERE:
            cuts.append(int(rng.integers(2, len(breath.words) - 1)))
        places = [quietest(spoken.pcm, spoken.words[count - 1].end) for count in cuts if count < len(breath.words)]
    runs = active_runs(spoken.pcm)
    own = [(a[1], b[0]) for a, b in itertools.pairwise(runs) if b[0] - a[1] >= OWN_PAUSE]
    places = [place for place in places if not any(start - NEAR <= place <= stop + NEAR for start, stop in own)]
    pieces = split(spoken, places + [(start + stop) // 2 for start, stop in own])
    return [piece for piece in map(trimmed, pieces) if piece.pcm.size]


def quietest(pcm: Audio, near: int) -> int:
    """The middle of the quietest 10 ms within 60 ms of ``near``."""
    first = max(0, near - NEAR)
    region = np.square(pcm[first : near + NEAR])
    if region.size < 80:
        return near
    power = np.convolve(region, np.ones(80, np.float32), "valid")
    return first + int(np.argmin(power)) + 40


def split(spoken: Spoken, places: list[int]) -> list[Spoken]:
    """``spoken`` in pieces, each with soft edges; a word belongs to the piece where its middle is."""
    edges = [0, *sorted(places), spoken.pcm.size]
    out: list[Spoken] = []
    for start, end in itertools.pairwise(edges):
        if end - start <= 2 * FADE:
            continue
        pcm = spoken.pcm[start:end].copy()
        if start:
            pcm[:FADE] *= np.linspace(0, 1, FADE, dtype=np.float32)
        if end < spoken.pcm.size:
            pcm[-FADE:] *= np.linspace(1, 0, FADE, dtype=np.float32)
        words = tuple(
            Word(w.text, max(0, w.start - start), min(end - start, w.end - start))
            for w in spoken.words
            if start <= (w.start + w.end) // 2 < end
        )
        out.append(Spoken(pcm, words, spoken.exact))
    return out


# --- recorded people ---


def human_digits(figures: list[str], speaker: str, bank: HumanBank, rng: Rng) -> Performed:
    """Digit words of one speaker strung together; groups of them a pause apart. ``figures``: words by group."""
    parts: list[Spoken] = []
    gaps: list[int] = []
    said = bank.digits[speaker]
    for group in figures:
        for index, word in enumerate(group.split()):
            clip = pick(said.get(word) or said["zero"], rng)
            if parts:
                inside = round(rng.uniform(*DIGIT_GAP_S) * RATE_HZ)
                gaps.append(inside if index else silence(rng))
            parts.append(bank.say(clip))
    return joined(parts, gaps)


def human_clip(clip: HumanClip, bank: HumanBank) -> Performed:
    """One recording as a turn."""
    return joined([bank.say(clip)], [], finished=clip.finished)
