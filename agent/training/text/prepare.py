"""Make ``data/utterances.tsv`` from the collected corpora: ``python -m agent.training.text.prepare FROM.tsv TO.tsv``.

Takes the training parts only, spells numbers out as the voice does, drops what no caller would say (addresses of web
pages, one word, more words than a breath or two) and keeps at most ``PER_INTENT`` sentences of an intent.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.training.errors import TrainingError
from agent.training.fold import share
from agent.training.text.corpus import LONGEST, SHORTEST
from agent.voice.normalise import tokens

PARTS = ("banking77/train", "clinc150/train", "clinc150/oos_train", "hwu64/train", "snips2017/train")
PER_INTENT = 40


def spoken(text: str) -> str | None:
    """The sentence as words that are said, or ``None`` where it is no sentence for a telephone."""
    words = " ".join(token.spoken.replace(",", " ") for token in tokens(text)).lower().split()
    plain = all(word.replace("'", "").isascii() and word.replace("'", "").isalpha() for word in words)
    return " ".join(words) if plain and SHORTEST <= len(words) <= LONGEST else None


def chosen(lines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(sentence, intent, source) in a fixed, shuffled order."""
    rows = [line.rstrip("\n").split("\t") for line in lines]
    rows = sorted((row for row in rows if len(row) == 3 and row[2] in PARTS), key=lambda row: share(row[0]))
    taken: Counter[str] = Counter()
    seen: set[str] = set()
    for text, intent, source in rows:
        said = spoken(text)
        if said is None or said in seen or taken[source + intent] >= PER_INTENT:
            continue
        seen.add(said)
        taken[source + intent] += 1
        yield said, intent, source


def main(argv: list[str]) -> None:
    if len(argv) != 2:
        raise TrainingError("wanted: prepare FROM.tsv TO.tsv")
    lines = Path(argv[0]).read_text(encoding="utf-8").splitlines()[1:]
    rows = sorted(chosen(lines), key=lambda row: (row[2], row[1], row[0]))
    Path(argv[1]).write_text(
        "text\tintent\tsource\n" + "".join("\t".join(row) + "\n" for row in rows), encoding="utf-8"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
