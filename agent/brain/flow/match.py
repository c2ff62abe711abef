"""Which intent was meant: tolerant of words left out, added or slightly misheard; and which may be meant. Pure.

An intent's forms are bags of words. A form's score is the share of its words that were said (weighted: "the" counts
little), times a factor that falls with what else was said. 1.0 means exactly this was said.

What fits no form may still point to one intent: by a word that its author lists, or by two that are of its forms alone
(many a word of a form is one of all talk: "how", "make"). That is worth a question, not more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from agent.brain.flow.digits import read_digits
from agent.brain.flow.patterns import Pattern

ACCEPT = 0.6
"""Score from which an intent is taken. What it lets through by mistake: docs/reference/dialogue.md."""
SURE = 0.85
"""Score from which an intent is taken even where the caller may say anything (free text)."""

_LITTLE_WORDS = (
    "a an the to of on in at for with and or so well um uh er hm please thanks hello hi hey yes yeah ok okay now just"
    " i me my we us our you your it its is am are was were be been do does did has have had would could can will shall"
    " may might like want need get there here this that these those about from up"
)
_LITTLE = frozenset(_LITTLE_WORDS.split())
_LITTLE_WEIGHT = 0.25
POINTS = 1.0
"""Weight of words from which they point to an intent …"""
AHEAD = 0.5
"""… if no other comes nearer than that."""
_OWN = 0.5
"""Weight of a word that is of one intent's forms alone, and not listed."""
_SHARED = 0.25
"""Weight of a word of several intents, divided by their number."""
_EXTRA = 0.5  # share of the score that words beside the form cannot take away
_MISHEARD = 0.85  # weight of a word that is one letter off


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    intent: str
    score: float
    digits: str = ""
    """Digits said along with it, for a ``{slot}`` of the pattern."""
    slot: str = ""


@dataclass(frozen=True, slots=True)
class _Form:
    intent: str
    bag: Counter[str]
    weight: float
    slot: str


class Matcher:
    """Finds the best of some intents. Built once for each set of intents that is live together."""

    def __init__(
        self, intents: Iterable[tuple[str, Sequence[Pattern]]], pointing: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """``pointing``: of each intent, those that point to it by themselves."""
        self._forms: list[_Form] = []
        self._by_word: defaultdict[str, list[int]] = defaultdict(list)
        for name, patterns in intents:
            for pattern in patterns:
                for words in pattern.forms:
                    self._add(name, words)
        self._points = self._pointing(pointing or {})
        self._long_words = tuple(word for word in {**self._by_word, **self._points} if len(word) >= 5)

    def _pointing(self, words: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
        """What each word says for which intent. The author's lists come before what is found in the forms."""
        found: dict[str, dict[str, float]] = {}
        for word, numbers in self._by_word.items():
            of = {self._forms[number].intent for number in numbers}
            if weighs(word):
                found[word] = dict.fromkeys(of, _OWN if len(of) == 1 else _SHARED / len(of))
        listed: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for intent, own in words.items():
            for word in own:
                listed[stem(word)][intent] = POINTS
        return {**found, **listed}

    def _add(self, intent: str, words: tuple[str, ...]) -> None:
        slot = next((word[1:-1] for word in words if word.startswith("{")), "")
        bag = Counter(stem(word) for word in words if not word.startswith("{"))
        form = _Form(intent, bag, sum(weight_of(word) * count for word, count in bag.items()), slot)
        for word in bag:
            self._by_word[word].append(len(self._forms))
        self._forms.append(form)

    def best(self, tokens: Sequence[str]) -> Match | None:
        """Best intent for normalised ``tokens`` at or above ``ACCEPT``; the earlier written one of equals."""
        said = Counter(self._known(stem(token)) for token in tokens)
        digits = read_digits(tokens).digits
        heavy = [word for word in said if weight_of(word) == 1 and word in self._by_word]
        candidates = {number for word in heavy or said for number in self._by_word.get(word, ())}
        best: Match | None = None
        for number in sorted(candidates):
            form = self._forms[number]
            score = self._score(form, said, digits)
            if score >= ACCEPT and (best is None or score > best.score):
                best = Match(intent=form.intent, score=score, slot=form.slot, digits=digits if form.slot else "")
        return best

    def guess(self, tokens: Sequence[str]) -> str:
        """The intent that normalised ``tokens`` point to, though they are no form of it; empty for none."""
        scores: defaultdict[str, float] = defaultdict(float)
        for word in {self._known(stem(token)) for token in tokens}:
            for intent, weight in self._points.get(word, {}).items():
                scores[intent] += weight
        first, second = [*sorted(scores.items(), key=lambda item: -item[1]), ("", 0.0), ("", 0.0)][:2]
        return first[0] if first[1] >= POINTS and first[1] - second[1] >= AHEAD else ""

    def _known(self, word: str) -> str:
        """``word``, or the word of the patterns that is one letter away from it (marked, for its weight)."""
        if word in self._by_word or word in self._points or len(word) < 5:
            return word
        near = next((known for known in self._long_words if one_letter_off(word, known)), None)
        return word if near is None else near

    def _score(self, form: _Form, said: Counter[str], digits: str) -> float:
        found = sum(weight_of(word) * min(count, said[word]) for word, count in form.bag.items())
        share = found / form.weight if form.weight else 0.0
        if form.slot and not digits:
            share *= _MISHEARD
        extra = sum(
            weight_of(word) * max(0, count - form.bag[word])
            for word, count in said.items()
            if not (form.slot and digits and _is_digit(word))
        )
        return share * (_EXTRA + (1 - _EXTRA) * form.weight / (form.weight + extra)) if share else 0.0


@lru_cache(maxsize=4096)
def weight_of(word: str) -> float:
    """Little words carry little."""
    return _LITTLE_WEIGHT if word in _LITTLE else 1.0


def weighs(word: str) -> bool:
    """Whether a word means something by itself."""
    return weight_of(word) == 1 and not _is_digit(word)


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """A word without the ending that a form of speech adds: parcels → parcel, delivered → deliver."""
    if word in _LITTLE or len(word) < 4:
        return word
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word[: -len(ending)].rstrip("e")
    return word.rstrip("e") if len(word) > 4 else word


@lru_cache(maxsize=4096)
def _is_digit(word: str) -> bool:
    return bool(read_digits([word]).digits) or word in ("oh", "double", "triple")


@lru_cache(maxsize=8192)
def one_letter_off(a: str, b: str) -> bool:
    """One letter added, dropped or changed."""
    if abs(len(a) - len(b)) > 1:
        return False
    if len(a) > len(b):
        a, b = b, a
    start = 0
    while start < len(a) and a[start] == b[start]:
        start += 1
    return a[start:] == b[start + 1 :] or a[start + 1 :] == b[start + 1 :]
