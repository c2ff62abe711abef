"""Words that do not take the floor: "I am listening", not "I want to speak". One owner for ears, dialogue and bench."""

from __future__ import annotations

from collections.abc import Collection, Sequence

_LISTENING = (
    "mhm", "uh-huh", "uh huh", "mm-hmm", "mm", "hmm", "hm", "um", "uh", "yeah", "yep", "yup", "yes", "okay", "ok",
    "right", "sure", "fine", "good", "great", "nice", "cool", "oh", "i see", "got it", "all right", "alright",
    "of course",
)  # fmt: skip
_AS_OTHERS_WRITE_IT = (
    "mm hm", "mm hmm", "ah", "aha", "oh okay", "oh i see", "ah okay", "yeah yeah", "right right", "okay okay",
)  # fmt: skip
"""Not listened for by our own recogniser: every short word in its grammar is one more that a noise can be."""
_COURTESIES = ("huh", "wow", "really", "makes sense", "that's right", "very good", "thank you", "thanks")
"""Over our voice they are backchannels; as a turn of their own they are something to answer."""

HEARD_PHRASES = (*_LISTENING, *_COURTESIES)
"""What the ears take for a backchannel over our voice, and listen for."""


def _words(phrases: Sequence[str]) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(phrase.split()) for phrase in phrases)


BACKCHANNEL_PHRASES = _words((*_LISTENING, *_AS_OTHERS_WRITE_IT))
"""What asks for no answer, in words."""
OVER_OUR_VOICE = _words(HEARD_PHRASES)
"""``HEARD_PHRASES`` in words."""
MOST_WORDS = 4
"""More words than that are a contribution, whatever they are."""


def only_backchannels(words: Sequence[str], phrases: Collection[tuple[str, ...]] = BACKCHANNEL_PHRASES) -> bool:
    """``words`` (lower case) are one or more of ``phrases`` in a row and nothing else."""
    if not 0 < len(words) <= MOST_WORDS:
        return False
    covered = {0}
    for end in range(1, len(words) + 1):
        if any(tuple(words[start:end]) in phrases for start in covered):
            covered.add(end)
    return len(words) in covered
