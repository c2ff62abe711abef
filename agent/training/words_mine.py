"""Utterances for the phone net out of simulated calls: ``python -m agent.training.words_mine CALLS… --out DIR``.

What a caller says in one breath becomes an utterance, with its line as it is: calls hold our words in voices, rooms and
codecs that ``words_make`` alone does not. One part for each shard; a part that is there is not made again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.model.small.words_phones import sounds_of
from agent.training.command import command
from agent.training.shard import Shard, paths, read
from agent.training.words_data import Utterances, write

KIND: Final = "call"
PAUSE: Final = 70
"""A silence of more frames (10 ms) begins another utterance."""
LONGEST: Final = 500
BEFORE, BEHIND = 6, 10
"""Frames around the words."""
LEAST, MOST = 15, 600
LOUD: Final = 192
"""Code of the loudest bands: near -25 dB, as those of ``words_make``."""


@dataclass(frozen=True, slots=True)
class Word:
    """One of the caller's: frames of 10 ms in call ``item`` of its shard."""

    item: int
    text: str
    start: int
    end: int


def breaths(words: Sequence[Word]) -> Iterator[list[Word]]:
    """``words``, sorted, parted by call, by pause and where they grow too long."""
    group: list[Word] = []
    for word in words:
        if group and (
            word.item != group[0].item or word.start - group[-1].end > PAUSE or word.end - group[0].start > LONGEST
        ):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def levelled(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``[frames, 40]`` as loud as all others."""
    loud = np.percentile(codes.max(axis=1), 85)
    return np.clip(codes.astype(np.int16) + round(LOUD - float(loud)), 0, 255).astype(np.uint8)


def mined(shard: Shard, name: str) -> Utterances | None:
    """What callers say in ``shard``; nothing where no words can be sounded out."""
    codes, texts, speakers = [], [], []
    calls = shard["mel_caller"]
    for group in breaths(_words(shard)):
        item, text = group[0].item, " ".join(word.text for word in group)
        first, last = max(0, group[0].start - BEFORE), min(calls.shape[1], group[-1].end + BEHIND)
        if LEAST <= last - first <= MOST and sounds_of(text) is not None:
            codes.append(levelled(calls[item, first:last]))
            texts.append(text)
            speakers.append(f"{name}.{item}")
    if not codes:
        return None
    lengths = np.array([len(part) for part in codes], np.int32)
    return Utterances(
        codes=np.concatenate(codes), lengths=lengths, texts=texts, speakers=speakers, kinds=[KIND] * len(texts)
    )


def _words(shard: Shard) -> list[Word]:
    item, word, start, end = (shard[name].astype(int) for name in ("word_item", "word", "word_start", "word_end"))
    return [
        Word(int(item[at]), shard.vocabulary[word[at]], int(start[at]), int(end[at]))
        for at in np.lexsort((start, item))
    ]


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m agent.training.words_mine", description="Utterances from calls.")
    parser.add_argument("calls", type=Path, nargs="+", help="folders of shards")
    parser.add_argument("--out", type=Path, required=True, help="folder of utterances (words_make's, or another)")
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str]) -> int:
    asked = arguments(argv)
    asked.out.mkdir(parents=True, exist_ok=True)
    seconds = 0.0
    for folder in asked.calls:
        for path in paths(folder):
            name = f"{folder.name}.{path.stem.removeprefix('shard-')}"
            out = asked.out / f"call-{name.replace('.', '-')}.npz"
            found = None if out.exists() else mined(read(path), name)
            if found is not None:
                write(out, found)
                seconds += found.seconds
    sys.stderr.write(f"{seconds / 3600:.2f} h\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
