"""Recorded people, spliced into simulated calls: clips of a folder with a manifest, training speakers only.

Columns of ``manifest.csv``: ``path split kind text speaker seconds source licence``. Only the fold ``dev`` opens rows
of another split than ``train``. Speakers are divided once more: our own validation has voices that training never met.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from agent.simulator.clips import read_audio
from agent.training.errors import TrainingError
from agent.training.fold import SPEAKERS_HELD_OUT, Fold, held_out
from agent.training.voices.align import aligned
from agent.training.voices.roster import reference
from agent.training.voices.spoken import Audio, Spoken, at_level, trimmed
from agent.training.voices.synth import with_estimate
from agent.voice.normalise import tokens
from agent.voice.numbers import ONES
from telephony.audio.levels import to_float

COLUMNS: Final = ("path", "split", "kind", "text", "speaker", "seconds", "source", "licence")
SPLIT, DEV_SPLIT = "train", "dev"
LEVEL_DB: Final = -22.0
READ_ALOUD: Final = "LibriSpeech"
"""Sources whose clips were cut after some seconds: what they say may not be finished."""
SHARE_ALIKE: Final = "CC BY-SA"
LONGEST_BACKCHANNEL_S: Final = 1.2
"""Longer clips of that kind hold more than a backchannel."""
DIGIT_WORDS: Final = frozenset((*ONES[:10], "oh"))


@dataclass(frozen=True, slots=True)
class HumanClip:
    """One recording."""

    path: Path
    kind: str
    text: str
    """Lower-case words, as they are said; empty where nobody wrote them down."""
    speaker: str
    finished: bool
    """It was not cut off: its end is an end."""
    seconds: float

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.text.split())


class HumanBank:
    """Clips of one fold, by what they can be used for."""

    def __init__(self, folder: Path, fold: Fold = Fold.TRAIN, *, share_alike: bool = True) -> None:
        self.clips = _read(folder, fold, share_alike)
        kinds: dict[str, list[HumanClip]] = defaultdict(list)
        for clip in self.clips:
            kinds[clip.kind].append(clip)
        self.digits = _by_speaker([clip for clip in self.clips if clip.text in DIGIT_WORDS])
        self.answers = [c for c in (*kinds["sentence"], *kinds["phrase"]) if c.finished and c.text]
        self.read = [clip for clip in kinds["sentence"] if not clip.finished]
        self.short = [clip for clip in kinds["word"] if clip.text]
        self.saying: dict[str, list[HumanClip]] = defaultdict(list)
        """Short recordings by what they say: the script's own words in a human's mouth."""
        for clip in self.clips:
            if clip.kind in {"word", "phrase", "digit"} and clip.text and clip.finished:
                self.saying[clip.text].append(clip)
        self.backchannels = [clip for clip in kinds["backchannel"] if clip.seconds <= LONGEST_BACKCHANNEL_S]
        self.tics = kinds["laughter"]
        self.noises = kinds["noise"]
        self.music = kinds["music"]
        self.talk = kinds["other"]

    def say(self, clip: HumanClip) -> Spoken:
        """The clip as speech, trimmed against its own noise, at one level."""
        return _spoken(clip)

    def sound(self, clip: HumanClip) -> Audio:
        """The clip as it is, at one level."""
        return at_level(to_float(read_audio(clip.path)), LEVEL_DB)

    def digit_speakers(self) -> Sequence[str]:
        """Speakers who said all ten digits."""
        return [name for name, said in self.digits.items() if len(said) >= 10]


@lru_cache(maxsize=4096)
def _spoken(clip: HumanClip) -> Spoken:
    found = trimmed(Spoken(to_float(read_audio(clip.path))), noisy=True)
    if not found.pcm.size:
        return found
    guess = with_estimate(at_level(found.pcm, LEVEL_DB), list(clip.words))
    guide = reference()
    return guess if guide is None or len(clip.words) < 2 else aligned(guess, guide.say(clip.text))


def _read(folder: Path, fold: Fold, share_alike: bool) -> tuple[HumanClip, ...]:
    try:
        with (folder / "manifest.csv").open(encoding="utf-8", newline="") as opened:
            rows = list(csv.DictReader(opened))
    except OSError as absent:
        raise TrainingError(f"{folder}: needs a manifest.csv: {absent}") from None
    missing = {*COLUMNS} - {*(rows[0] if rows else ())}
    if missing:
        raise TrainingError(f"{folder}/manifest.csv: needs the columns {', '.join(sorted(missing))}")
    found = []
    for row in rows:
        if row["split"] != (DEV_SPLIT if fold is Fold.DEV else SPLIT) or (
            SHARE_ALIKE in row["licence"] and not share_alike
        ):
            continue
        # Noise and music have no speaker: both sides use them.
        if fold is not Fold.DEV and row["speaker"] and not fold.allows(held_out(row["speaker"], SPEAKERS_HELD_OUT)):
            continue
        finished = not row["source"].startswith(READ_ALOUD)
        try:
            seconds = float(row["seconds"])
        except ValueError:
            raise TrainingError(f"{folder}/manifest.csv: {row['path']}: seconds is {row['seconds']!r}") from None
        text = _words(row["text"])
        found.append(HumanClip(folder / row["path"], row["kind"], text, row["speaker"], finished, seconds))
    return tuple(found)


def _words(text: str) -> str:
    return " ".join(word for token in tokens(text) for word in token.spoken.replace(",", " ").lower().split())


def _by_speaker(clips: Sequence[HumanClip]) -> dict[str, dict[str, list[HumanClip]]]:
    found: dict[str, dict[str, list[HumanClip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        found[clip.speaker][clip.text].append(clip)
    return {speaker: dict(said) for speaker, said in found.items()}


def pick(clips: Sequence[HumanClip], rng: np.random.Generator) -> HumanClip:
    """One clip. Raises ``TrainingError`` where there is none."""
    if not clips:
        raise TrainingError("this folder has no clip of the kind that is wanted")
    return clips[int(rng.integers(len(clips)))]
