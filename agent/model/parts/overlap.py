"""What is spoken into our voice: does it take the floor, is it a backchannel, or neither yet?

Words decide here; how long the overlap lasts is judged by the floor (the 0.9 s rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from agent.backchannels import OVER_OUR_VOICE, only_backchannels
from agent.expectation import Expect, ExpectKind
from agent.model.parts.completeness import FILLERS, State, match
from agent.model.parts.numbers import DIGITS
from agent.model.parts.patterns import compile_patterns, search


class Verdict(StrEnum):
    UNDECIDED = "undecided"
    TAKES = "takes"
    BACKCHANNEL = "backchannel"


TAKING_PATTERNS = (
    "( stop | wait | no | nope | sorry | hello | pardon | but | listen | enough | cancel | actually )",
    "( hold on | hang on | excuse me | one moment | just a moment | one second | hold it | shut up | be quiet )",
    "( what | where | when | who | why | how | which )",
    "( i want | i need | i said | i have | i would | i'd like | i don't | can i | can you | could you | let me )",
    "( never mind | not that | that's wrong | that's not | go back | say again | repeat | help | agent | operator )",
)
BEGINNINGS = ("( never | excuse | hold | hang | please | just a | that is | i have | what did | can i | no that's )",)
"""How floor-taking phrases begin, and backchannels do not: enough where the recogniser is sure of the words."""
WEAK_ALONE = frozenset({
    "what", "where", "when", "who", "why", "how", "which", "repeat", "help", "but", "enough", "listen", "agent",
    "operator",
})  # fmt: skip
"""As the only word they decide nothing: "yeah" is heard as "what", "okay" as "repeat", "uh huh" as "enough"."""
BACKCHANNEL_MOST_MS = 1200
"""Longer speech is more than its backchannel words."""


def judge(words: Sequence[str], expect: Expect, speech_ms: int, *, sure: bool = False) -> Verdict:
    """Verdict on the ``words`` of an overlap whose speech lasted ``speech_ms`` so far.

    ``sure``: the recogniser is, of words that are still being said.
    """
    said = [word for word in words if word not in FILLERS]
    if not said:
        short = bool(words) and speech_ms <= BACKCHANNEL_MOST_MS
        return Verdict.BACKCHANNEL if short else Verdict.UNDECIDED
    if only_backchannels(said, OVER_OUR_VOICE):  # "I see" is also how "see you" begins
        return Verdict.BACKCHANNEL if speech_ms <= BACKCHANNEL_MOST_MS else Verdict.UNDECIDED
    begun = sure and search(compile_patterns(BEGINNINGS), said).passed
    return Verdict.TAKES if begun or takes(said, expect) else Verdict.UNDECIDED


def takes(words: Sequence[str], expect: Expect) -> bool:
    """A floor-taking word or phrase, a digit where digits are expected, or an expected phrase (two words of it).

    One word of a phrase does not count: "right" is heard as "bye" by some voices.
    """
    if len(words) == 1 and words[0] in WEAK_ALONE:
        return False
    if search(compile_patterns(TAKING_PATTERNS), words).passed:
        return True
    if (expect.kind is ExpectKind.DIGITS or expect.digits) and any(word in DIGITS and word != "oh" for word in words):
        return True
    found = match(words, expect)
    if found.answer not in (ExpectKind.PHRASES, ExpectKind.DATE):
        return False
    return found.state in (State.COMPLETE, State.PREFIX) and len(words) > 1
