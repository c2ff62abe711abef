"""Pack the pronouncing dictionary: ``python -m agent.training.words_dictionary CMUDICT OUT.txt.xz``.

Keeps words of letters, apostrophes and hyphens, and at most three ways to say each. Same input, same bytes.
"""

from __future__ import annotations

import lzma
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from agent.model.small.words_phones import MOST_WAYS, labels
from agent.training.errors import TrainingError

_WORD = re.compile(r"([a-z'-]+)(?:\((\d)\))?")


def kept(lines: Iterable[str]) -> Iterator[str]:
    """Lines of a dictionary that are of use. Raises ``TrainingError`` for a phone that is none of ours."""
    for number, line in enumerate(lines, 1):
        word, _, phones = line.strip().partition(" ")
        known = _WORD.fullmatch(word)
        if known is None or int(known[2] or 1) > MOST_WAYS:
            continue
        try:
            labels(phones)
        except KeyError as strange:
            raise TrainingError(f"line {number}: {strange} is no phone of CMU's set") from None
        yield f"{word} {' '.join(phones.split())}"


def main(argv: Sequence[str]) -> int:
    if len(argv) != 2:
        sys.stderr.write("wanted: words_dictionary CMUDICT OUT.txt.xz\n")
        return 2
    lines = Path(argv[0]).read_text(encoding="utf-8").splitlines()
    packed = lzma.compress(("\n".join(kept(lines)) + "\n").encode("ascii"), preset=9 | lzma.PRESET_EXTREME)
    Path(argv[1]).write_bytes(packed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
