"""Where a call's dialogue stands. Frozen: taking something back is keeping the state from before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.brain.flow.speech import Line, Speech
from agent.brain.protocol import Hangup, Transfer
from agent.expectation import NOTHING_KNOWN, Expect


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tool that was asked. It outlives the answer, the turn and the state that asked for it."""

    state: str
    slots: Mapping[str, str]
    """Values at that time."""
    result: Any = None
    ok: bool = False
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One call's dialogue."""

    at: str
    """Name of the dialogue's state."""
    slots: Mapping[str, str] = field(default_factory=dict)
    """Digits as digits, dates as ISO dates, yes and no as ``yes`` and ``no``."""
    confirmed: frozenset[str] = frozenset()
    """Slots whose value the caller agreed to."""
    confirming: bool = False
    """In an ASK state: the value was read back and waits for a yes."""
    guess: str = ""
    """The intent that the caller is asked about: they seem to mean it."""
    value_heard: bool = False
    """The values being confirmed (or the question of a guess) were heard by the caller whole."""
    partial: str = ""
    """Digits said so far where more must come."""
    keys: str = ""
    """Digits keyed so far."""
    misses: int = 0
    """Misunderstandings in a row."""
    silences: int = 0
    waiting: str = ""
    """Request id of the tool that this state waits for."""
    asked: Mapping[str, Asked] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    """Requests whose result came while the caller was elsewhere and is still to be told."""
    keys_pressed: int = 0
    passed_over: int = 0
    """Turns since the last key of a number that is not whole yet."""
    speech: Speech = field(default_factory=Speech)
    rest: tuple[Line, ...] = ()
    """Unheard rest of the answer that was cut last."""
    rest_age: int = 0
    """Answers given since."""
    expect: Expect = NOTHING_KNOWN
    ending: Transfer | Hangup | None = None
    """What follows when the last answer was heard; it must be asked for again when that answer was cut."""
