"""Words to the phonemes that Kokoro was trained on: a dictionary, English endings, and rules for the rest. Pure.

The dictionary is the data of the package ``misaki`` (Apache-2.0), read as files. Nothing of eSpeak NG is used, which
other front ends load into the process and which is GPL-3.0.

Notation of that dictionary: ``A I O W Y`` are the diphthongs of *day, my, go, now, boy*; ``ʤ ʧ`` one sign each;
``ˈ ˌ`` stand before the stressed vowel.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

VOWELS: Final = frozenset("AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻᵊɐ")
BEFORE_S: Final = {**dict.fromkeys("ptkfθ", "s"), **dict.fromkeys("szʃʒʧʤ", "ᵻz")}
BEFORE_D: Final = {**dict.fromkeys("pkfθʃsʧ", "t"), **dict.fromkeys("td", "ᵻd")}
WEAK: Final = {"a": "ɐ", "an": "ɐn", "i": "ˌI"}
"""Little words as they are in a sentence."""
WEAK_BEFORE: Final = {"the": ("ðə", "ði"), "to": ("tə", "tʊ")}
"""Before a consonant, before a vowel."""
MARKS: Final = frozenset(",.!?;:")

_PACKAGE: Final = "misaki"
_DATA: Final = ("us_gold.json", "us_silver.json")
_LETTERS = re.compile(r"[^a-z']")

RULES: Final[tuple[tuple[str, str], ...]] = tuple(
    sorted(
        {
            "tion": "ʃᵊn",
            "sion": "ʒᵊn",
            "ture": "ʧəɹ",
            "ough": "O",
            "augh": "ɔ",
            "eigh": "A",
            "igh": "I",
            "tch": "ʧ",
            "dge": "ʤ",
            "sch": "ʃ",
            "chr": "kɹ",
            "kn": "n",
            "wr": "ɹ",
            "ph": "f",
            "sh": "ʃ",
            "ch": "ʧ",
            "th": "θ",
            "wh": "w",
            "ng": "ŋ",
            "ck": "k",
            "qu": "kw",
            "gh": "ɡ",
            "sz": "ʃ",
            "cz": "ʧ",
            "zh": "ʒ",
            "ee": "i",
            "ea": "i",
            "ie": "i",
            "ei": "I",
            "ai": "A",
            "ay": "A",
            "ey": "i",
            "oa": "O",
            "oo": "u",
            "ou": "W",
            "ow": "O",
            "oi": "Y",
            "oy": "Y",
            "au": "ɔ",
            "aw": "ɔ",
            "ew": "u",
            "ue": "u",
            "ar": "ɑɹ",
            "er": "əɹ",
            "ir": "ɜɹ",
            "or": "ɔɹ",
            "ur": "ɜɹ",
            "a": "æ",
            "b": "b",
            "c": "k",
            "d": "d",
            "e": "ɛ",
            "f": "f",
            "g": "ɡ",
            "h": "h",
            "i": "ɪ",
            "j": "ʤ",
            "k": "k",
            "l": "l",
            "m": "m",
            "n": "n",
            "o": "ɑ",
            "p": "p",
            "q": "k",
            "r": "ɹ",
            "s": "s",
            "t": "t",
            "u": "ʌ",
            "v": "v",
            "w": "w",
            "x": "ks",
            "y": "i",
            "z": "z",
        }.items(),
        key=lambda rule: -len(rule[0]),
    )
)
"""Letters to sounds, longest first: for names that no dictionary has. Understandable, not right."""


def data_folder() -> Path | None:
    """Where the dictionary lies, or ``None`` where the package is not installed. Does not import it."""
    spec = find_spec(_PACKAGE)
    folder = Path(spec.origin).parent / "data" if spec is not None and spec.origin else None
    return folder if folder is not None and all((folder / name).is_file() for name in _DATA) else None


class Lexicon:
    """``entries``: lower-case words and capital letters to phonemes, or to phonemes by place and part of speech."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = entries

    @classmethod
    def load(cls, folder: Path) -> Lexicon:
        """Raises ``OSError`` or ``ValueError``."""
        merged: dict[str, Any] = {}
        for name in reversed(_DATA):
            for word, said in json.loads((folder / name).read_bytes()).items():
                merged[word] = said
                if word != word.lower() and len(word) > 1:
                    merged.setdefault(word.lower(), said)
        return cls(merged)

    def clause(self, words: Sequence[str], mark: str) -> str:
        """Phonemes of the words of a clause, pauses as commas, ``mark`` behind it."""
        spoken = [word for group in words for word in group.split()]
        out: list[str] = []
        following = ""
        for index in reversed(range(len(spoken))):
            said = self._word(spoken, index, following)
            comma = "," if spoken[index].endswith(",") and index < len(spoken) - 1 else ""
            if said:
                out.append(said + comma)
                following = "" if comma else said
        end = mark if mark in MARKS else "," if mark else ""
        return " ".join(reversed(out)) + end

    def _word(self, spoken: Sequence[str], index: int, following: str) -> str:
        word = spoken[index].rstrip(",")
        if _is_letter(spoken, index):
            return self._get(word.upper(), last=False) or ""
        plain = word.lower()
        if plain in WEAK:
            return WEAK[plain]
        if plain in WEAK_BEFORE and following:
            return WEAK_BEFORE[plain][following.lstrip("ˈˌ")[0] in VOWELS]
        return self.say(plain, last=not following)

    def say(self, word: str, *, last: bool = False) -> str:
        """Phonemes of one lower-case word; never empty for a word with letters."""
        return self._get(word, last=last) or self._derived(word) or by_rules(word)

    def _get(self, word: str, *, last: bool) -> str | None:
        said = self._entries.get(word)
        if isinstance(said, dict):
            said = (said.get("None") if last else None) or said.get("DEFAULT")
        return said or None

    def _derived(self, word: str) -> str | None:
        """A known stem with an ending: 's, s, es, ies, ed, ing, ly, er."""
        for ending, stems in (
            ("'s", (word[:-2],)),
            ("s'", (word[:-2], word[:-1])),
            ("ies", (word[:-3] + "y",)),
            ("es", (word[:-1], word[:-2])),
            ("s", (word[:-1],)),
            ("ied", (word[:-3] + "y",)),
            ("ed", (word[:-1], word[:-2], word[:-3])),
            ("ing", (word[:-3], word[:-3] + "e", word[:-4])),
            ("ly", (word[:-2],)),
            ("er", (word[:-1], word[:-2], word[:-3])),
        ):
            if word.endswith(ending) and len(word) > len(ending) + 1:
                for stem in stems:
                    said = self._get(stem, last=False)
                    if said is not None:
                        return said + _ending(ending, said[-1])
        return None


def _ending(ending: str, before: str) -> str:
    if ending in ("'s", "s'", "ies", "es", "s"):
        return BEFORE_S.get(before, "z")
    if ending in ("ied", "ed"):
        return BEFORE_D.get(before, "d")
    return {"ing": "ɪŋ", "ly": "li", "er": "əɹ"}[ending]


def _is_letter(spoken: Sequence[str], index: int) -> bool:
    """``A`` between other single capitals is a letter, elsewhere the article; ``I`` alike."""
    word = spoken[index].rstrip(",")
    if len(word) != 1 or not word.isupper():
        return False
    if word not in ("A", "I"):
        return True
    beside = [spoken[at].rstrip(",") for at in (index - 1, index + 1) if 0 <= at < len(spoken)]
    return any(len(other) == 1 and other.isupper() for other in beside)


def by_rules(word: str) -> str:
    """Sounds of a lower-case word by its letters, the first vowel stressed; empty for a word without letters."""
    left, out = _LETTERS.sub("", word).replace("'", ""), ""
    if len(left) > 3 and left.endswith("e") and left[-2] not in "aeiou":
        left = left[:-1]
    while left:
        letters, sound = next(rule for rule in RULES if left.startswith(rule[0]))
        if sound[0] in VOWELS and "ˈ" not in out:
            out += "ˈ"
        out += sound if not out.endswith(sound) or sound in VOWELS else ""  # doubled consonants sound once
        left = left[len(letters) :]
    return out
