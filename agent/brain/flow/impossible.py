"""Can what the caller is saying still become an answer? Pure.

Asked of every partial text of a turn that goes on. It says no only where nothing that may follow can help, so that
waiting for the end would be no favour to the caller.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.brain.flow.digits import unbroken_digits
from agent.brain.flow.flow import Flow
from agent.brain.flow.state import State
from agent.brain.flow.words import normalise

TOO_MANY_DIGITS = "too_many_digits"


def why_impossible(flow: Flow, state: State, words: Sequence[str]) -> str:
    """A slug, or nothing: more digits than the slot that is asked for has, in one go and none of them taken back."""
    slot = flow.slot_of(flow.spec.states[state.at])
    if slot is None or slot.length is None or not slot.interrupt or state.confirming:
        return ""
    tokens = normalise(words)
    if len(unbroken_digits(tokens)) <= slot.length or flow.matchers[state.at].best(tokens) is not None:
        return ""
    return TOO_MANY_DIGITS
