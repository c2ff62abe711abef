"""Words that do not take the floor: "I am listening", not "I want to speak". One list for ears and dialogue."""

from __future__ import annotations

from collections.abc import Sequence

BACKCHANNEL_PHRASES: frozenset[tuple[str, ...]] = frozenset(
    tuple(phrase.split())
    for phrase in (
        "mhm", "mm", "mm hm", "mm hmm", "hm", "hmm", "uh huh", "uh", "um", "ah", "oh", "aha", "yeah", "yep", "yup",
        "right", "okay", "ok", "sure", "i see", "got it", "good", "great", "fine", "alright", "all right", "of course",
        "cool", "nice", "yes", "oh okay", "oh i see", "ah okay", "yeah yeah", "right right", "okay okay",
    )
)  # fmt: skip
_LONGEST = max(len(phrase) for phrase in BACKCHANNEL_PHRASES)
MOST_WORDS = 4
"""More words than that are a contribution, whatever they are."""


def only_backchannels(words: Sequence[str]) -> bool:
    """``words`` (lower case) are one or more backchannels in a row and nothing else."""
    if not 0 < len(words) <= MOST_WORDS:
        return False
    covered = {0}
    for end in range(1, len(words) + 1):
        for length in range(1, min(_LONGEST, end) + 1):
            if end - length in covered and tuple(words[end - length : end]) in BACKCHANNEL_PHRASES:
                covered.add(end)
    return len(words) in covered
