"""Words that the word encoder tells apart: the most frequent of what callers say, digits and letters always among them.

``data/words.txt`` is made by ``python -m agent.training.text.vocabulary N`` and fixed: a class keeps its number.
"""

from __future__ import annotations

import sys
from collections import Counter
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np

from agent.training.chance import weighted
from agent.training.fold import Fold
from agent.training.text.answer import State
from agent.training.text.source import TextSource
from agent.voice.numbers import ONES

NONE, OTHER = 0, 1
"""No word ends here; a word that is not in the list."""
FIRST: Final = 2
ALWAYS: Final = (*ONES[:10], "oh", "yes", "no", *"bcdefghjklmnopqrstuvwxyz")
SAMPLES: Final = 30_000


@lru_cache(maxsize=1)
def words() -> tuple[str, ...]:
    """Class ``FIRST + k`` is word ``k``."""
    text = resources.files("agent.training.text").joinpath("data/words.txt").read_text(encoding="utf-8")
    return tuple(text.split())


@lru_cache(maxsize=1)
def classes() -> dict[str, int]:
    """Word to class; what is not in it is ``OTHER``."""
    return {word: FIRST + index for index, word in enumerate(words())}


def frequent(count: int) -> list[str]:
    """The ``count`` most frequent words of simulated callers, those of ``ALWAYS`` first."""
    source, rng = TextSource(Fold.ALL), np.random.default_rng(1)
    found: Counter[str] = Counter()
    states = [(state, 1.0) for state in State]
    for _ in range(SAMPLES):
        found.update(source.answer(weighted(states, rng), rng).words)
        if rng.random() < 0.4:
            found.update(source.takes(rng).words)
            found.update(source.listening(rng).split())
    rest = [word for word, _ in found.most_common() if word not in ALWAYS]
    return [*ALWAYS, *rest[: count - len(ALWAYS)]]


def main(argv: list[str]) -> None:
    out = Path(__file__).with_name("data") / "words.txt"
    out.write_text("\n".join(frequent(int(argv[0]))) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
