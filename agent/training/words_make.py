"""Make utterances for the word net: ``python -m agent.training.words_make --parts 30 --out DIR``.

A part is a few dozen synthetic speakers who each say some dozen things; part ``k`` of a seed is always the same. Clean:
the telephone line is put on while training (``words_mix``). With ``--speech DIR`` two more parts hold the recorded
people of split ``train``, and noises.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from agent.errors import VoiceFailed
from agent.model.small.features import HOP, log_mel
from agent.training.command import command
from agent.training.conversation import sounds
from agent.training.errors import TrainingError
from agent.training.fold import Fold
from agent.training.voices.human import HumanBank
from agent.training.voices.persona import Persona, draw_persona
from agent.training.voices.pico_voice import RESPELT
from agent.training.voices.roster import callers
from agent.training.voices.spoken import Audio
from agent.training.words_data import Utterances, write
from agent.training.words_text import WordTexts

SPEAKERS: Final = 24
SAYINGS: Final = 14
"""Of one speaker."""
SHORTEST, LONGEST = 8, 700
"""Frames of an utterance that is kept."""
NOISES: Final = 160
NOISE: Final = "noise"
SURE_WORDS: Final = 2
"""A recorded backchannel of more words is what a program took it for."""
_ACCENTED: Final = frozenset(next(iter(RESPELT.values())))
Rng = np.random.Generator
Entry = tuple[Audio, str, str, str]
"""Sound, words, speaker, kind."""


def synthetic(texts: WordTexts, fold: Fold, piper: str, seed: int, part: int) -> Iterator[Entry]:
    """What the speakers of one part say."""
    rng = np.random.default_rng([seed, part])
    voices = callers(fold, piper)
    for number in range(SPEAKERS):
        persona = draw_persona(voices, rng)
        yield from _says(persona, f"{persona.name}#{seed}.{part}.{number}", texts, rng)


def _says(persona: Persona, speaker: str, texts: WordTexts, rng: Rng) -> Iterator[Entry]:
    for _ in range(SAYINGS):
        kind, utterances = texts.draw(rng)
        for text in utterances:
            if persona.spec.digits_only and not all(word in _ACCENTED for word in text.split()):
                continue
            try:
                said = persona.say(text, rng, mark="." if rng.random() < 0.75 else (",", "?")[int(rng.integers(2))])
            except VoiceFailed:
                continue
            yield said.pcm, text, speaker, kind


def recorded(humans: HumanBank) -> Iterator[Entry]:
    """Every recording whose words are known."""
    for clip in humans.clips:
        if not clip.text or (clip.kind == "backchannel" and len(clip.words) > SURE_WORDS):
            continue
        yield humans.say(clip).pcm, clip.text, clip.speaker, f"human {clip.kind}"


def noises(humans: HumanBank, seed: int) -> Iterator[Entry]:
    """Sounds that are no words: recorded ones whole, and as many drawn."""
    rng = np.random.default_rng([seed, 99])
    for clip in (*humans.noises, *humans.music, *humans.talk, *humans.tics):
        whole = humans.sound(clip)
        for at in range(0, whole.size - 4000, 40_000):
            yield whole[at : at + 40_000], "", clip.path.stem, NOISE
    for number in range(NOISES):
        draw = (sounds.bed, sounds.music)[number % 2](24_000, rng) if number % 4 < 2 else _burst(number, rng)
        yield draw, "", f"drawn{number}", NOISE


def _burst(number: int, rng: Rng) -> Audio:
    return sounds.burst(rng) if number % 4 == 2 else sounds.tic(rng)


def collected(entries: Iterator[Entry]) -> Utterances:
    """Sounds as features."""
    codes, lengths, texts, speakers, kinds = [], [], [], [], []
    for pcm, text, speaker, kind in entries:
        found = log_mel(pcm[: LONGEST * HOP])
        if len(found) < SHORTEST or (pcm.size > LONGEST * HOP and kind != NOISE):
            continue
        codes.append(found)
        lengths.append(len(found))
        texts.append(text)
        speakers.append(speaker)
        kinds.append(kind)
    if not codes:
        raise TrainingError("nothing was said")
    return Utterances(
        codes=np.concatenate(codes), lengths=np.array(lengths, np.int32), texts=texts, speakers=speakers, kinds=kinds
    )


def make(asked: argparse.Namespace) -> None:
    """All parts that are not there yet. Raises ``TrainingError``."""
    asked.out.mkdir(parents=True, exist_ok=True)
    fold = Fold(asked.fold)
    if asked.speech and not (asked.out / "human.npz").exists():
        humans = HumanBank(asked.speech, Fold(asked.human_fold), share_alike=not asked.no_share_alike)
        write(asked.out / "human.npz", collected(recorded(humans)))
        write(asked.out / "noise.npz", collected(noises(humans, asked.seed)))
    texts = WordTexts(fold, asked.dialogue)
    for part in range(asked.first, asked.first + asked.parts):
        path = asked.out / f"part-{asked.seed:02d}-{part:04d}.npz"
        if path.exists():
            continue
        began = time.process_time()
        found = collected(synthetic(texts, fold, str(asked.piper or ""), asked.seed, part))
        write(path, found)
        sys.stderr.write(f"{path.name}: {len(found)} utterances, {found.seconds:.0f} s, "
                         f"{time.process_time() - began:.1f} CPU s\n")  # fmt: skip


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m agent.training.words_make", description="Make utterances.")
    parser.add_argument("--parts", type=int, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--dialogue", type=Path, help="a dialogue whose intents are said too")
    parser.add_argument("--piper", type=Path, help="folder of a Piper voice, for validation (needs the program)")
    parser.add_argument("--fold", choices=[fold.value for fold in Fold], default=Fold.TRAIN.value)
    parser.add_argument("--human-fold", choices=[fold.value for fold in Fold], default=Fold.ALL.value)
    parser.add_argument("--no-share-alike", action="store_true", help="leave out recordings under CC BY-SA")
    asked = parser.parse_args(argv)
    os.nice(10)
    make(asked)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
