"""Spoken digits: how many have been said, also as "double seven", "oh", "twenty three" and after a correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DIGITS = {
    "zero": "0", "oh": "0", "o": "0", "nought": "0", "one": "1", "two": "2", "three": "3", "four": "4",
    "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
TEENS = {
    "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15",
    "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19",
}  # fmt: skip
TENS = {
    "twenty": "2", "thirty": "3", "forty": "4", "fifty": "5", "sixty": "6", "seventy": "7", "eighty": "8",
    "ninety": "9",
}  # fmt: skip
REPEATS = {"double": 2, "triple": 3, "treble": 3}
CORRECTIONS = frozenset({"no", "sorry", "wait", "mean", "rather", "correction", "actually", "oops", "not"})
"""Words inside a number after which digits are said anew."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """Digits as they were said, split at corrections."""

    groups: tuple[str, ...]
    hanging: bool
    """The last word asks for another ("double", a correction, "twenty" may)."""

    def complete_for(self, wanted: int) -> bool:
        """Whether some reading of the corrections gives ``wanted`` digits.

        After a correction the caller says all anew, or the last group, or goes on behind one replaced digit. Which
        of these it was is for the brain to work out; here it only matters whether more must come.
        """
        if self.hanging or not self.groups:
            return False
        last = len(self.groups[-1])
        before = sum(len(group) for group in self.groups[:-1])
        return last >= wanted or (len(self.groups) > 1 and (len(self.groups[-2]) >= wanted or before + last > wanted))

    def missing(self, wanted: int) -> int:
        """Digits still to come by the reading that needs fewest."""
        return 0 if self.complete_for(wanted) else max(1, wanted - sum(len(group) for group in self.groups))


def read_digits(words: Sequence[str]) -> Spoken:
    """Digits in ``words``; other words are passed over."""
    groups, repeat, tens = [""], 1, False
    hanging = False
    for word in words:
        hanging = False
        if word in CORRECTIONS:
            if groups[-1]:
                groups.append("")
            repeat, tens, hanging = 1, False, len(groups) > 1
        elif word in REPEATS:
            repeat, tens, hanging = REPEATS[word], False, True
        elif word in DIGITS:
            # "twenty three" is 23: the digit takes the place of the nought that "twenty" had left open.
            groups[-1] = (
                groups[-1][:-1] + DIGITS[word] if tens and word != "zero" else groups[-1] + DIGITS[word] * repeat
            )
            repeat, tens = 1, False
        elif word in TEENS:
            groups[-1] += TEENS[word]
            repeat, tens = 1, False
        elif word in TENS:
            groups[-1] += TENS[word] + "0"
            repeat, tens = 1, True
        else:
            tens = False
    kept = tuple(group for group in groups if group)
    return Spoken(groups=kept, hanging=hanging and bool(words))
