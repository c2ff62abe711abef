"""Free sentences: customers' written utterances as words that a caller says.

``data/utterances.tsv`` is a part of four public corpora (CC BY 3.0, CC BY 4.0, CC0; ``data/utterances.README.md``
names them). Their own evaluation parts are not in it.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

from agent.training.fold import PHRASES_HELD_OUT, Fold, held_out

SHORTEST, LONGEST = 2, 22
"""Words of a sentence that a caller says in one breath or two."""


@lru_cache(maxsize=3)
def sentences(fold: Fold) -> tuple[str, ...]:
    """Sentences of this fold, lower case, letters and apostrophes only, in the file's order."""
    found = resources.files("agent.training.text").joinpath("data/utterances.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t")[0] for line in found.splitlines()[1:])
    return tuple(row for row in rows if fold.allows_phrase(held_out(row, PHRASES_HELD_OUT)))
