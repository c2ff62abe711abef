"""Grammars (JSGF) for a recogniser that needs one: what is expected, and a way out for everything else.

Without the way out any speech is forced into the grammar. The garbage rule is a loop of single phones, entered at a
low weight: speech outside the grammar decodes better there and gives no words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from agent.backchannels import HEARD_PHRASES
from agent.expectation import Expect, ExpectKind
from agent.model.parts.completeness import DATE_PATTERNS, is_readable
from agent.model.parts.numbers import DIGITS
from agent.model.parts.patterns import vocabulary
from agent.model.parts.recogniser import Mode

PHONES = (
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH", "K",
    "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z",
)  # fmt: skip
GARBAGE_WEIGHT = 0.1
GARBAGE_PREFIX = "zz"
"""Phones are words of the dictionary under this prefix ("zzaa")."""
MOST_DIGITS = 20
CORRECTION_WEIGHT = 0.01
OVER_WEIGHT = 0.01
"""Of one digit more than is wanted, where that is worth hearing (``Expect.over``)."""
RARE_FORMS = frozenset({"o", "nought"})
"""Digit words that a loop is better without."""

YES_NO_WORDS = (
    "( yes | yeah | yep | correct | sure | okay ) [ please | that's right | it is ]",
    "( that's | that is ) ( right | correct | wrong | not right )",
    "( no | nope ) [ thanks | thank you | it isn't | that's wrong ]",
)
"""Fewer forms than are understood: each further short word costs accuracy on a telephone."""

TAKING_WORDS = (
    "stop [ it ] [ please ] | wait [ a ( moment | second | minute ) ] | no | no that's wrong | sorry | excuse me",
    "hold on | hang on | ( one | just a ) ( moment | second ) | i want | i said | hello",
    "that is enough | that's enough | never mind | i have a question | can i ask something | what did you say",
    "go back | no wait | no no | stop talking | please stop | be quiet",
)
"""Of the floor-taking words those that are not taken for a backchannel, nor the other way round.

Measured over six synthetic voices: what is not listed is not heard ("that is enough"), and what sounds like a
backchannel must not be ("actually" is what "I see" and half of everything else became).
"""

Knows = Callable[[str], bool]


def garbage_words() -> list[tuple[str, str]]:
    """``(word, phone)`` for the dictionary."""
    return [(GARBAGE_PREFIX + phone.lower(), phone) for phone in PHONES]


def is_garbage(word: str) -> bool:
    """Whether ``word`` of a hypothesis is no word: a phone of the garbage loop, a silence or a noise."""
    return word.startswith((GARBAGE_PREFIX, "<", "[", "+"))


def plain_word(word: str) -> str:
    """Without the mark of an alternative pronunciation: ``the(2)`` → ``the``."""
    return word.partition("(")[0]


def grammar(expect: Expect, mode: Mode, knows: Knows) -> str:
    """JSGF for an utterance. Patterns with a word that the dictionary does not know are left out."""
    answers = list(_answers(expect, knows))
    if mode is Mode.OVERLAP:
        answers += _known((*TAKING_WORDS, *HEARD_PHRASES), knows)
    elif expect.kind in (ExpectKind.UNKNOWN, ExpectKind.FREE) and not answers:
        answers += _known(YES_NO_WORDS, knows)
    garbage = " | ".join(word for word, _ in garbage_words())
    live = " | ".join(f"( {answer} )" for answer in answers)
    entry = f"/1.0/ ( {live} ) | /{GARBAGE_WEIGHT}/ <garbage>" if live else "<garbage>"
    return f"#JSGF V1.0; grammar g; <garbage> = ( {garbage} )+ ; public <g> = {entry} ;"


def _answers(expect: Expect, knows: Knows) -> Iterable[str]:
    if expect.kind is ExpectKind.DIGITS or expect.digits is not None:
        yield digit_string(expect.digits, expect.over)
    if expect.kind is ExpectKind.YES_NO or expect.also_yes_no:
        yield from _known(YES_NO_WORDS, knows)
    if expect.kind is ExpectKind.DATE:
        yield from _known(DATE_PATTERNS, knows)
    yield from _known((pattern for pattern in expect.phrases if is_readable(pattern)), knows)


def _known(patterns: Iterable[str], knows: Knows) -> list[str]:
    found = []
    for pattern in patterns:
        alternatives = split_alternatives(pattern)
        found += [alternative for alternative in alternatives if all(map(knows, vocabulary([alternative])))]
    return found


@lru_cache(maxsize=2048)
def split_alternatives(pattern: str) -> tuple[str, ...]:
    """``a b | ( c | d )`` → ``a b``, ``c``, ``d``: an unknown word costs its own alternative only."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(pattern):
        depth += (char in "([") - (char in ")]")
        if char == "|" and depth == 0:
            parts.append(pattern[start:at].strip())
            start = at + 1
    parts.append(pattern[start:].strip())
    if len(parts) > 1:
        return tuple(piece for part in parts for piece in split_alternatives(part))
    inside = pattern.strip()
    if inside.startswith("(") and inside.endswith(")") and _closes_at_end(inside):
        return split_alternatives(inside[1:-1])
    return (inside,)


def _closes_at_end(pattern: str) -> bool:
    """Whether the bracket that opens ``pattern`` is closed by its last character."""
    depth = 0
    for at, char in enumerate(pattern):
        depth += (char in "([") - (char in ")]")
        if depth == 0:
            return at == len(pattern) - 1
    return False


@lru_cache(maxsize=64)
def digit_string(count: int | None, over: bool = False) -> str:
    """At most ``count`` digits, nested: knowing the length halves the errors, and partial strings stay possible.

    ``over``: and one too many, rarely. A correction ("no", "sorry") begins the string anew;
    "wait" is left out: it is taken for "eight".
    """
    digit = "( " + " | ".join(word for word in DIGITS if word not in RARE_FORMS) + " )"
    if count is None or count > MOST_DIGITS:
        return f"{digit}+"
    nested = f"{digit} ( /1.0/ <NULL> | /{OVER_WEIGHT}/ {digit} )" if over else digit
    for _ in range(count - 1):
        nested = f"{digit} [ {nested} ]"
    return f"( /1.0/ {nested} | /{CORRECTION_WEIGHT}/ ( {nested} ( no | sorry | no sorry ) {nested} ) )"
