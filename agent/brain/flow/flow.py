"""A dialogue made ready to run: matchers and expectations of every state, computed once for all calls."""

from __future__ import annotations

from dataclasses import dataclass

from agent.brain.flow.match import Matcher
from agent.brain.flow.spec import DialogueSpec, SlotKind, SlotSpec, StateKind, StateSpec
from agent.brain.flow.state import State
from agent.expectation import NOTHING_KNOWN, Expect, ExpectKind

_DIGIT = "( zero | oh | one | two | three | four | five | six | seven | eight | nine )"
CORRECTION_PHRASES = (
    f"[ no ] [ the ] ( first | second | third | fourth | fifth | sixth | seventh | eighth | last )"
    f" ( one | digit | number ) ( is | should be ) [ a | an ] {_DIGIT}",
    f"[ no ] [ the ] last two [ digits ] are {_DIGIT} {_DIGIT}",
    f"[ no ] [ it is | it's ] {_DIGIT} not {_DIGIT} | [ no ] not {_DIGIT} [ but ] {_DIGIT}",
)
"""How callers correct a number that was read back; ``correct_digits`` understands them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A dialogue and what is derived from it."""

    spec: DialogueSpec
    matchers: dict[str, Matcher]
    """State name to the matcher of its live intents."""
    phrases: dict[str, tuple[str, ...]]
    words: dict[str, tuple[str, ...]]
    """State name to the words that point to its live intents."""
    formats: dict[str, tuple[str, tuple[int, ...]]]
    """Slot name to how its value is spoken."""

    def slot_of(self, state: StateSpec) -> SlotSpec | None:
        return self.spec.slots[state.ask] if state.ask else None

    def key_intents(self, state: str) -> dict[str, str]:
        """Keys that mean an intent in ``state``."""
        return {
            self.spec.intents[name].key: name for name in self.spec.live_intents(state) if self.spec.intents[name].key
        }


def build_flow(spec: DialogueSpec) -> Flow:
    """Everything derived from ``spec``."""
    by_intents: dict[tuple[str, ...], Matcher] = {}
    matchers: dict[str, Matcher] = {}
    for name in spec.states:
        live = spec.live_intents(name)
        if live not in by_intents:
            pointing = {intent: spec.intents[intent].words for intent in live}
            by_intents[live] = Matcher(((intent, spec.intents[intent].patterns) for intent in live), pointing)
        matchers[name] = by_intents[live]
    phrases = {
        name: tuple(
            pattern.phrase
            for intent in spec.live_intents(name)
            for pattern in spec.intents[intent].patterns
            if pattern.phrase
        )
        for name in spec.states
    }
    words = {
        name: tuple(dict.fromkeys(word for intent in spec.live_intents(name) for word in spec.intents[intent].words))
        for name in spec.states
    }
    spoken = {SlotKind.DIGITS: "digits", SlotKind.DATE: "date"}
    formats = {name: (spoken.get(slot.kind, "plain"), slot.groups) for name, slot in spec.slots.items()}
    return Flow(spec=spec, matchers=matchers, phrases=phrases, words=words, formats=formats)


def expectation(flow: Flow, state: State) -> Expect:
    """What the caller may say next."""
    node = flow.spec.states[state.at]
    phrases = flow.phrases[state.at]
    if state.guess:
        return Expect(kind=ExpectKind.YES_NO, phrases=phrases)
    match node.kind:
        case StateKind.ASK:
            return _expect_slot(flow.spec.slots[node.ask], node, state, phrases)
        case StateKind.CONFIRM:
            return _expect_agreement([flow.spec.slots[name] for name in node.correct], phrases)
        case StateKind.LISTEN:
            digits = _pattern_digits(flow.spec, state.at)
            yes_no = bool(node.yes or node.no)
            words = flow.words[state.at]
            return Expect(kind=ExpectKind.PHRASES, phrases=phrases, digits=digits, also_yes_no=yes_no, words=words)
        case StateKind.TOOL:
            return Expect(kind=ExpectKind.PHRASES, phrases=phrases)
        case _:
            return NOTHING_KNOWN


def _expect_slot(slot: SlotSpec, node: StateSpec, state: State, phrases: tuple[str, ...]) -> Expect:
    if state.confirming:
        return _expect_agreement([slot], phrases)
    yes_no = bool(node.yes or node.no)
    match slot.kind:
        case SlotKind.DIGITS:
            # After a part the caller may go on or start anew: then no count would be right.
            length = None if state.partial else slot.length
            check = None if slot.check == "none" else slot.check
            over = slot.interrupt and length is not None
            return Expect(
                kind=ExpectKind.DIGITS, digits=length, over=over, check=check, phrases=phrases, also_yes_no=yes_no
            )
        case SlotKind.DATE:
            return Expect(kind=ExpectKind.DATE, phrases=phrases, also_yes_no=yes_no)
        case SlotKind.YES_NO:
            return Expect(kind=ExpectKind.YES_NO, phrases=phrases)
        case SlotKind.TEXT:
            return Expect(kind=ExpectKind.FREE, phrases=phrases, also_yes_no=yes_no)


def _expect_agreement(slots: list[SlotSpec], phrases: tuple[str, ...]) -> Expect:
    """Yes or no, or a correction of one of ``slots`` inside the answer."""
    digits = next((slot for slot in slots if slot.kind is SlotKind.DIGITS), None)
    kind = ExpectKind.YES_NO
    if any(slot.kind is SlotKind.DATE for slot in slots):
        kind = ExpectKind.DATE
    elif digits is not None:
        kind = ExpectKind.DIGITS
    return Expect(
        kind=kind,
        digits=digits.length if digits else None,
        check=digits.check if digits and digits.check != "none" else None,
        phrases=(*phrases, *CORRECTION_PHRASES) if digits else phrases,
        also_yes_no=True,
    )


def _pattern_digits(spec: DialogueSpec, state: str) -> int | None:
    """Length of the number that a live pattern may carry."""
    for intent in spec.live_intents(state):
        for pattern in spec.intents[intent].patterns:
            for slot in sorted(pattern.slots):
                return spec.slots[slot].length
    return None
