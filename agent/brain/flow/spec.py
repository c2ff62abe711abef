"""A dialogue, read and checked: frozen, shared by all its calls. ``load`` makes it from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.brain.flow.patterns import Pattern
from agent.brain.flow.template import Template

Lines = tuple[Template, ...]
"""Texts said one after the other."""


class SlotKind(StrEnum):
    DIGITS = "digits"
    DATE = "date"
    YES_NO = "yes_no"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSpec:
    """One thing to find out from the caller."""

    name: str
    kind: SlotKind
    prompt: Lines
    """Asks for it."""
    again: Lines = ()
    """Asks for it once more, shorter; else ``prompt``."""
    keys: Lines = ()
    """The other way to give it, offered after the second misunderstanding (for digits: the keys)."""
    confirm: Lines = ()
    """Reads it back and asks yes or no; without it the value is taken as heard."""
    invalid: Lines = ()
    """Said when the value breaks a rule (check digit, day out of range)."""
    length: int | None = None
    """Digits: how many; ``None`` for any number."""
    check: str = "none"
    """Digits: ``none`` or ``luhn``."""
    groups: tuple[int, ...] = ()
    """Digits: how they are grouped when read back."""
    interrupt: bool = True
    """Digits: a caller who says more than ``length`` is told so at once, not at the end."""
    earliest_days: int = 0
    """Date: first day from today that is allowed …"""
    latest_days: int = 366
    """… and the last."""
    not_on: tuple[int, ...] = ()
    """Date: weekdays that are not allowed (0 is Monday)."""


class IntentDoes(StrEnum):
    """What the engine does itself for an intent."""

    REPEAT = "repeat"
    """Say the last answer again."""
    RESUME = "resume"
    """Say the unheard rest of what was cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentSpec:
    """Something that callers want, and what follows: an answer (the question is then asked again) or another state."""

    name: str
    patterns: tuple[Pattern, ...]
    key: str = ""
    """The key that means the same, where no number is being keyed in."""
    words: tuple[str, ...] = ()
    """Single words that point to it, however the rest is said."""
    confirm: Lines = ()
    """Asks whether it is meant, where the caller only seems to mean it; without it nothing is asked."""
    say: Lines = ()
    go: str = ""
    does: IntentDoes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said for a tool's result, and where the dialogue goes then."""

    when: tuple[tuple[tuple[str, ...], tuple[Any, ...]], ...] = ()
    """Paths into the result and the values that they may have; all must hold."""
    say: Lines = ()
    go: str = ""
    clear: tuple[str, ...] = ()
    """Slots to forget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    name: str
    arguments: tuple[tuple[str, Template], ...] = ()
    filler: Lines = ()
    """Said when the result takes longer than 700 ms (the session's clock)."""
    answers: tuple[Answer, ...] = ()
    empty: Answer | None = None
    """For a result that says nothing (``null``, ``{}``, ``[]``, ``""``, ``0``, ``false``)."""
    failed: Answer | None = None
    """For no result at all."""
    changes: bool = False
    """It changes something in the world: its result is told even if the caller has moved on."""


class StateKind(StrEnum):
    LISTEN = "listen"
    """Says something and waits for an intent, yes or no."""
    PASS = "pass"
    """Says something and goes on."""
    ASK = "ask"
    CONFIRM = "confirm"
    TOOL = "tool"
    TRANSFER = "transfer"
    HANGUP = "hangup"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpec:
    name: str
    kind: StateKind
    say: Lines = ()
    """Said on entering."""
    again: Lines = ()
    """Said when the caller is brought back here; else ``say``."""
    help: Lines = ()
    """Said after the second misunderstanding."""
    intents: tuple[str, ...] = ()
    """Intents that are understood here, besides those that are understood everywhere."""
    yes: str = ""
    no: str = ""
    """Where a yes or a no leads."""
    ask: str = ""
    keep: bool = False
    """A value that was confirmed before is used without asking."""
    correct: tuple[str, ...] = ()
    """Slots that an answer to the confirmation may change."""
    tool: ToolSpec | None = None
    transfer: Template | None = None
    failed: Answer | None = None
    """After a transfer that did not work."""
    hangup: str = ""
    then: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairs:
    """What is said when something goes wrong."""

    not_understood: Lines
    out_of_scope: Lines
    """Words were understood, but nothing here is about them."""
    help: Lines
    still_there: Lines
    silent_goodbye: Lines
    more_digits: Lines
    too_many_digits: Lines
    yes_or_no: Lines
    """A yes or no is waited for, and has not been understood twice."""
    not_heard: Lines
    """Before a readback that is said again because the caller agreed before having heard it."""
    unclear_correction: Lines
    still_working: Lines
    no_result: Lines
    failed: Lines
    meanwhile: Lines
    """Before the result of a change that came while the caller was elsewhere."""
    give_up: str = ""
    """State after the third misunderstanding; empty: say goodbye and hang up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueSpec:
    name: str
    disclosure: Lines
    """Tells the caller that this is a machine. Said first and whole."""
    start: str
    slots: Mapping[str, SlotSpec]
    intents: Mapping[str, IntentSpec]
    states: Mapping[str, StateSpec]
    everywhere: tuple[str, ...]
    repairs: Repairs
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Defaults; the answer of ``call.incoming`` overrides them."""

    def live_intents(self, state: str) -> tuple[str, ...]:
        """Intents understood in ``state``."""
        return tuple(dict.fromkeys((*self.states[state].intents, *self.everywhere)))
