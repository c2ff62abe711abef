"""Is what the caller has said so far an answer, the beginning of one, or something else?

Streaming: called with all words of the turn whenever they change. Exact values (which digits, which day) are the
brain's; here it only matters whether more must come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache

from agent.expectation import Expect, ExpectKind
from agent.model.parts.numbers import Spoken, read_digits
from agent.model.parts.patterns import Automaton, PatternError, compile_patterns, search


class State(IntEnum):
    """Ordered: of several live answers the highest counts."""

    SILENT = 0
    """No words."""
    OUTSIDE = 1
    """Words, but of no answer that is expected."""
    PREFIX = 2
    """The beginning of an expected answer."""
    COMPLETE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    state: State
    answer: ExpectKind = ExpectKind.UNKNOWN
    """Which of the live answers it is."""
    may_go_on: bool = False
    """Complete, but more of the same answer could follow."""
    missing: int = 0
    """Digits still to come."""
    whole: bool = False
    """A beginning that all words belong to, not the last ones only."""
    hanging: bool = False
    """The last word cannot end a sentence ("the", "my", "and")."""
    negative: bool = False
    """A no: a correction often follows."""


YES_PATTERNS = (
    "( yes | yeah | yep | yup | sure | correct | right | exactly | absolutely | okay ) [ please | it is | it does ]",
    "( yes | yeah | yep ) ( that's | that is | it's | it is ) ( right | correct | fine | it | okay )",
    "( that's | that is | it's | it is ) ( right | correct | fine | it | okay )",
    "( yes | yeah ) ( i do | i am | you can | of course )",
    "of course | please do | go ahead | sounds good",
)
NO_PATTERNS = (
    "( no | nope | nah ) [ thanks | thank you | it isn't | it is not | i don't | not really ]",
    "[ no ] ( that's | that is | it's | it is ) ( wrong | not right | incorrect | not it | not correct )",
    "[ no ] ( that isn't | it isn't ) ( right | correct )",
    "not really | wrong | incorrect",
)
_DAY = "( monday | tuesday | wednesday | thursday | friday | saturday | sunday )"
_MONTH = (
    "( january | february | march | april | may | june | july | august | september | october | november | december )"
)
_ORDINAL = (
    "( first | second | third | fourth | fifth | sixth | seventh | eighth | ninth | tenth | eleventh | twelfth"
    " | thirteenth | fourteenth | fifteenth | sixteenth | seventeenth | eighteenth | nineteenth | twentieth"
    " | thirtieth | ( twenty | thirty ) ( first | second | third | fourth | fifth | sixth | seventh | eighth"
    " | ninth ) )"
)
_SMALL = "( one | two | three | four | five | six | seven | ten )"
DATE_PATTERNS = (
    "[ the day after ] ( today | tomorrow ) [ morning | afternoon | evening ]",
    f"[ on | next | this | on next | this coming ] {_DAY} [ morning | afternoon | evening ] [ next week ]",
    f"[ on ] [ {_DAY} ] the {_ORDINAL} [ [ of ] {_MONTH} ]",
    f"[ on ] [ {_DAY} ] {_ORDINAL} [ of ] {_MONTH}",
    f"[ on ] [ {_DAY} ] {_MONTH} [ the ] {_ORDINAL}",
    f"in {_SMALL} ( days | weeks ) | in ( a | one ) week",
    "next week | this week | as soon as possible",
)
CLOSERS = frozenset({"please", "thanks", "thank", "you", "uh", "um", "er", "mhm"})
"""Said behind an answer without changing it."""
FILLERS = frozenset({"uh", "um", "er", "erm", "hmm", "well", "so", "like"})
HANGING = frozenset({
    "a", "an", "the", "my", "your", "his", "her", "our", "their", "this", "that's", "to", "of", "for", "from",
    "in", "on", "at", "with", "by", "and", "or", "but", "if", "because", "about", "is", "are", "was", "were",
    "am", "i'm", "i've", "i'd", "it's", "can", "could", "would", "will", "should", "do", "does", "did", "have",
    "has", "had", "want", "need", "like", "you're", "we", "i", "what", "where", "when", "which", "who", "how",
    "than", "as", "into", "um", "uh", "er",
})  # fmt: skip
"""Words that rarely end a sentence."""


def match(words: Sequence[str], expect: Expect) -> Match:
    """How ``words`` (lower case, all of the turn) stand to ``expect``."""
    if not words:
        return Match(state=State.SILENT)
    core = _without_closers(words)
    hanging = words[-1] in HANGING
    if not core:
        return Match(state=State.OUTSIDE, hanging=hanging)
    found = [_digits(core, expect)] if _wants_digits(expect) else []
    found += [_phrases(core, kind, automaton) for kind, automaton in automata(expect)]
    best = max(found, key=_rank, default=Match(state=State.OUTSIDE))
    if best.state is State.OUTSIDE:
        return Match(state=State.OUTSIDE, hanging=hanging)
    return replace(best, hanging=hanging)


def _rank(found: Match) -> tuple[State, bool]:
    # Of two complete answers the one that is surely at its end decides.
    return found.state, not found.may_go_on


def _wants_digits(expect: Expect) -> bool:
    return expect.kind is ExpectKind.DIGITS or expect.digits is not None


def _without_closers(words: Sequence[str]) -> Sequence[str]:
    end = len(words)
    while end and words[end - 1] in CLOSERS:
        end -= 1
    return [word for word in words[:end] if word not in FILLERS]


def _digits(words: Sequence[str], expect: Expect) -> Match:
    spoken: Spoken = read_digits(words)
    if not spoken.groups:
        return Match(state=State.OUTSIDE, answer=ExpectKind.DIGITS)
    if expect.digits is None:
        state = State.PREFIX if spoken.hanging else State.COMPLETE
        return Match(state=state, answer=ExpectKind.DIGITS, may_go_on=True)
    missing = spoken.missing(expect.digits)
    if missing and expect.kind is not ExpectKind.DIGITS and not (spoken.hanging or read_digits(words[-1:]).groups):
        return Match(state=State.OUTSIDE)  # "on my capital one card", to a menu that takes a number as well
    state = State.PREFIX if missing else State.COMPLETE
    return Match(state=state, answer=ExpectKind.DIGITS, missing=missing)


def _phrases(words: Sequence[str], kind: ExpectKind, automaton: Automaton) -> Match:
    found = search(automaton, words)
    if found.complete:
        negative = kind is ExpectKind.YES_NO and search(_no_automaton(), words).complete
        return Match(state=State.COMPLETE, answer=kind, may_go_on=found.unfinished, negative=negative)
    if found.unfinished:
        return Match(state=State.PREFIX, answer=kind, whole=found.begun)
    return Match(state=State.OUTSIDE, answer=kind)


@lru_cache(maxsize=1)
def _no_automaton() -> Automaton:
    return compile_patterns(NO_PATTERNS)


@lru_cache(maxsize=512)
def automata(expect: Expect) -> tuple[tuple[ExpectKind, Automaton], ...]:
    """The live word patterns of ``expect``. A pattern that cannot be read is left out (the dialogue's loader warns)."""
    live: list[tuple[ExpectKind, Automaton]] = []
    if expect.kind is ExpectKind.YES_NO or expect.also_yes_no:
        live.append((ExpectKind.YES_NO, compile_patterns(YES_PATTERNS + NO_PATTERNS)))
    if expect.kind is ExpectKind.DATE:
        live.append((ExpectKind.DATE, compile_patterns(DATE_PATTERNS)))
    readable = tuple(pattern for pattern in expect.phrases if is_readable(pattern))
    if readable:
        live.append((ExpectKind.PHRASES, compile_patterns(readable)))
    return tuple(live)


@lru_cache(maxsize=4096)
def is_readable(pattern: str) -> bool:
    """Whether ``pattern`` keeps the notation and holds at least one word."""
    try:
        return not compile_patterns((pattern,)).accepts(frozenset({0}))
    except PatternError:
        return False
