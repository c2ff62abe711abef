"""Language models from counts: which word follows which, written as ARPA text for a recogniser. Pure.

Three words at a time, Witten and Bell's smoothing: a history that was followed by many different words gives more of
its share to those that never followed it (Witten and Bell 1991, "The zero-frequency problem").
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import log10
from typing import Final

ORDER: Final = 3
BEGIN, END = "<s>", "</s>"
NEWS: Final = 0.5
"""How much each different follower counts for words that are new behind a history."""
ANY_WORD: Final = 0.05
"""Share of all words alike, so that each can come."""
Gram = tuple[str, ...]
Counts = list[dict[Gram, float]]
"""By length less one."""


def count(sentences: Iterable[tuple[Sequence[str], float]]) -> Counts:
    """Stretches of one to three words of weighted sentences, their begin and end among them."""
    found: list[defaultdict[Gram, float]] = [defaultdict(float) for _ in range(ORDER)]
    for words, weight in sentences:
        line = (BEGIN, *words, END)
        for length, counts in enumerate(found, 1):
            for at in range(len(line) - length + 1):
                counts[line[at : at + length]] += weight
    found[0].pop((BEGIN,), None)
    return [dict(counts) for counts in found]


def added(counts: Counts, more: Counts) -> Counts:
    """Both together; neither is changed."""
    return [
        {**one, **{gram: one.get(gram, 0.0) + n for gram, n in two.items()}}
        for one, two in zip(counts, more, strict=True)
    ]


def arpa(counts: Counts) -> str:
    """The model as text. Raises ``ValueError`` where nothing was counted."""
    if not counts[0]:
        raise ValueError("a language model needs words")
    shares: list[dict[Gram, float]] = [_alone(counts[0])]
    left: list[dict[Gram, float]] = []
    """By length less one: what a history leaves to words that never followed it."""
    for longer in counts[1:]:
        below = shares[-1]
        weight, kinds = _histories(longer)
        left.append({history: NEWS * kinds[history] / (weight[history] + NEWS * kinds[history]) for history in weight})
        shares.append(
            {
                gram: n / (weight[gram[:-1]] + NEWS * kinds[gram[:-1]]) + left[-1][gram[:-1]] * below[gram[1:]]
                for gram, n in longer.items()
            }
        )
    shares[0][(BEGIN,)] = 1e-10  # never said
    return _text(shares, [*left, {}])


def _alone(counts: Mapping[Gram, float]) -> dict[Gram, float]:
    whole = sum(counts.values())
    return {gram: (1 - ANY_WORD) * n / whole + ANY_WORD / len(counts) for gram, n in counts.items()}


def _histories(counts: Mapping[Gram, float]) -> tuple[dict[Gram, float], Counter[Gram]]:
    """Of each history: how much followed it, and how many different words."""
    weight: defaultdict[Gram, float] = defaultdict(float)
    kinds: Counter[Gram] = Counter()
    for gram, n in counts.items():
        weight[gram[:-1]] += n
        kinds[gram[:-1]] += 1
    return weight, kinds


def _text(shares: Sequence[Mapping[Gram, float]], left: Sequence[Mapping[Gram, float]]) -> str:
    out = ["\\data\\", *(f"ngram {length}={len(found)}" for length, found in enumerate(shares, 1))]
    for length, (found, rests) in enumerate(zip(shares, left, strict=True), 1):
        out.append(f"\n\\{length}-grams:")
        for gram in sorted(found):
            rest = rests.get(gram)
            behind = "" if rest is None else f" {log10(rest):.4f}"
            out.append(f"{log10(found[gram]):.4f} {' '.join(gram)}{behind}")
    return "\n".join([*out, "\n\\end\\", ""])
