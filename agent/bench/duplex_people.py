"""Recorded people before the systems: turns cut from clips of a speech folder, with pauses put in. By seed.

Our own net hears their numbers; no recogniser of ours understands their sentences. The agent is silent.
A clip of a sentence gets its pause where it is quietest in its middle third, without the melody of an end; digits of
one speaker are said in groups. Clips that were cut from longer readings are left out: their end is none.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from agent.bench.baselines import HeardCall
from agent.bench.evidence import AgentChannel, CallEvidence
from agent.expectation import Expect, ExpectKind
from agent.simulator.clips import SpeechFolder, at_level, clip_of, read_audio, silence, trimmed
from agent.simulator.energy import RATE_HZ, Pcm, levels
from agent.simulator.truth import EventType, TruthEvent
from telephony.audio.g711 import ulaw_decode, ulaw_encode

CUT_READINGS: Final = "LibriSpeech"
"""Sources whose clips end anywhere."""
LEVEL_DBFS: Final = -22.0
BEFORE_S, AFTER_S = 1.0, 5.5
PAUSES_S: Final = (0.4, 0.7, 1.2, 2.0)
GAP_S: Final = 0.12
"""Between digits of one group."""
STRINGS: Final = 60
LENGTHS: Final = (6, 8)
SHORTEST_S: Final = 0.9
"""A shorter clip has no middle to pause in."""
FRAME: Final = 80


@dataclass(frozen=True, slots=True)
class Person:
    """One turn of a recorded speaker, and what the agent waits for."""

    heard: HeardCall
    expect: Expect


def people(folder: Path, *, seed: int) -> list[Person]:
    """Turns from the folder's ``dev`` split. Raises ``ClipError``."""
    rng = random.Random(seed)
    found: list[Person] = []
    speech = SpeechFolder.open(folder)
    for path, row in speech.described("sentence", "phrase"):
        if not row.get("source", "").startswith(CUT_READINGS):
            pcm = at_level(trimmed(read_audio(path)), LEVEL_DBFS)
            found += [person(path.stem, _paused(pcm, pause_s), Expect(kind=ExpectKind.FREE)) for pause_s in _some(rng)]
    by_speaker: dict[str, list[Path]] = defaultdict(list)
    for path, row in speech.described("digit"):
        by_speaker[row.get("speaker", "")].append(path)
    speakers = sorted(name for name, clips in by_speaker.items() if len(clips) >= max(LENGTHS))
    for number in range(STRINGS if speakers else 0):
        clips = by_speaker[speakers[number % len(speakers)]]
        count = rng.choice(LENGTHS)
        said = [at_level(trimmed(read_audio(clip)), LEVEL_DBFS) for clip in rng.choices(clips, k=count)]
        parts = _grouped(said, rng)
        found.append(person(f"digits{number}", parts, Expect(kind=ExpectKind.DIGITS, digits=count)))
    return found


def _some(rng: random.Random) -> list[float]:
    """No pause, and two of different lengths."""
    return [0.0, *rng.sample(PAUSES_S, 2)]


def _paused(pcm: Pcm, pause_s: float) -> list[Pcm]:
    """The clip in two parts with a pause between, cut where its middle third is quietest."""
    if not pause_s or len(pcm) < SHORTEST_S * RATE_HZ:
        return [pcm]
    loud = levels(pcm)
    first, last = len(loud) // 3, 2 * len(loud) // 3
    smooth = np.convolve(loud, np.ones(5) / 5, "same")
    cut = (first + int(np.argmin(smooth[first:last]))) * FRAME
    return [pcm[:cut], silence(pause_s), pcm[cut:]]


def _grouped(digits: Sequence[Pcm], rng: random.Random) -> list[Pcm]:
    """Digits in groups of two to four, a pause between groups."""
    parts: list[Pcm] = []
    left = rng.choice((2, 3, 4))
    for number, digit in enumerate(digits):
        parts.append(digit)
        left -= 1
        if number == len(digits) - 1:
            break
        parts.append(silence(GAP_S if left else rng.choice(PAUSES_S)))
        left = left or rng.choice((2, 3, 4))
    return parts


def person(name: str, parts: Sequence[Pcm], expect: Expect) -> Person:
    """A call of one turn; what was said and its pauses are found by the energy rule, on the clean stem."""
    clip = clip_of(np.concatenate(parts))
    line = np.concatenate([silence(BEFORE_S), clip.pcm, silence(AFTER_S)])
    turn = _event(EventType.TURN, clip.span.start, clip.span.end, "reply")
    holds = [_event(EventType.HOLD, hold.start, hold.end) for hold in clip.holds]
    call = CallEvidence(call=name, events=(turn, *holds), agent=AgentChannel(np.zeros(len(line), np.int16)))
    return Person(HeardCall(call, ulaw_decode(ulaw_encode(line))), expect)


def _event(kind: EventType, start: float, end: float, expect: str = "none") -> TruthEvent:
    return TruthEvent(call="", id=f"{kind}", type=kind, start=BEFORE_S + start, end=BEFORE_S + end, expect=expect)
