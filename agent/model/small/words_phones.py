"""Sounds of English (CMU's 39 phones without stress) and how words are made of them. Pure but for one file.

``data/pronunciations.txt.xz``: one word a line with its phones, ``word(2)`` for another way to say it: the CMU
dictionary as PocketSphinx carries it (BSD-2-Clause, Copyright (c) 1993-2015 Carnegie Mellon University, Alpha Cephei
Inc.), made by ``python -m agent.training.words_dictionary``.
"""

from __future__ import annotations

import lzma
from functools import lru_cache
from importlib import resources
from typing import Final

PHONES: Final = (
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH", "K",
    "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH",
)  # fmt: skip
BLANK: Final = 0
"""Label of "nothing new"; phone ``PHONES[k]`` is label ``k + 1``."""
LABELS: Final = len(PHONES) + 1
MOST_WAYS: Final = 3
"""Pronunciations of a word that are listened for."""
EXTRA: Final = {
    "mhm": ("M HH M", "AH M HH M"),
    "mm-hmm": ("M HH M",),
    "mm": ("M",),
    "hm": ("HH M",),
    "hmm": ("HH M",),
    "uh-huh": ("AH HH AH",),
    "uh": ("AH",),
    "um": ("AH M",),
    "er": ("ER",),
    "ah": ("AA",),
    "aha": ("AA HH AA",),
    "huh": ("HH AH",),
    "yep": ("Y EH P",),
    "yup": ("Y AH P",),
    "nope": ("N OW P",),
    "nah": ("N AA",),
    "zero": ("Z IH R OW", "Z IY R OW", "Z IH UW"),
    "oh": ("OW",),
}
"""Words that the dictionary lacks, or has wrong for a telephone."""
_LABEL: Final = {phone: index + 1 for index, phone in enumerate(PHONES)}
Sounds = tuple[int, ...]


def labels(phones: str) -> Sounds:
    """``"T UW"`` → labels. Raises ``KeyError`` for a phone that is none."""
    return tuple(_LABEL[phone] for phone in phones.split())


@lru_cache(maxsize=1)
def _lines() -> dict[str, list[str]]:
    packed = resources.files("agent.model.small").joinpath("data/pronunciations.txt.xz").read_bytes()
    found: dict[str, list[str]] = {}
    for line in lzma.decompress(packed).decode("ascii").splitlines():
        word, _, phones = line.partition(" ")
        found.setdefault(word.partition("(")[0], []).append(phones)
    return found


@lru_cache(maxsize=8192)
def pronunciations(word: str) -> tuple[Sounds, ...]:
    """The ways to say ``word`` (lower case), the usual one first; empty where nobody knows."""
    ways = EXTRA.get(word) or tuple(_lines().get(word, ()))
    return tuple(dict.fromkeys(labels(phones) for phones in ways[:MOST_WAYS]))


def knows(word: str) -> bool:
    """Whether ``word`` can be listened for."""
    return bool(pronunciations(word))


def sounds_of(text: str) -> Sounds | None:
    """Labels of a sentence said the usual way; ``None`` with a word that nobody knows."""
    found: list[int] = []
    for word in text.split():
        ways = pronunciations(word)
        if not ways:
            return None
        found += ways[0]
    return tuple(found)
