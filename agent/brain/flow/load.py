"""YAML to ``DialogueSpec``. What the parts mean: docs/reference/dialogue.md. Whole-file rules: ``check``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.brain.flow.check import check
from agent.brain.flow.digits import CHECKS
from agent.brain.flow.match import weighs
from agent.brain.flow.patterns import Pattern
from agent.brain.flow.reader import (
    Node,
    Section,
    check_name,
    entries,
    flag,
    items,
    lines,
    name,
    one_of,
    pattern,
    read_document,
    scalar,
    template,
    text,
    value_of,
    whole,
)
from agent.brain.flow.spec import (
    Answer,
    DialogueSpec,
    IntentDoes,
    IntentSpec,
    Repairs,
    SlotKind,
    SlotSpec,
    StateKind,
    StateSpec,
    ToolSpec,
)
from agent.brain.flow.template import parse_template
from agent.brain.flow.words import WEEKDAYS, normalise
from agent.errors import DialogueError

_DIALOGUE = ("dialogue", "disclosure", "start", "variables", "slots", "intents", "everywhere", "states", "repairs")
PARTS = ("voice", "recogniser", "brain")
"""Services that the configured agent's file may name beside its dialogue (agent/pipecat/agent_file.py)."""
_SLOT = ("kind", "prompt", "again", "keys", "confirm", "invalid")
_SLOT_OF_KIND = {
    SlotKind.DIGITS: ("length", "check", "groups", "interrupt"),
    SlotKind.DATE: ("earliest_days", "latest_days", "not_on"),
    SlotKind.YES_NO: (),
    SlotKind.TEXT: (),
}
_INTENT = ("phrases", "words", "confirm", "key", "say", "go", "does")
_ANSWER = ("when", "say", "go", "clear")
_TOOL = ("name", "arguments", "filler", "answers", "empty", "failed", "changes")
_LISTENING = ("say", "again", "help", "intents", "yes", "no")
_STATE_OF_KIND = {
    StateKind.LISTEN: _LISTENING,
    StateKind.PASS: ("say", "then"),
    StateKind.ASK: ("say", "help", "intents", "yes", "no", "ask", "keep", "then"),
    StateKind.CONFIRM: ("confirm", "help", "intents", "yes", "no", "correct"),
    StateKind.TOOL: ("say", "tool", "then"),
    StateKind.TRANSFER: ("say", "transfer", "failed", "intents", "no"),
    StateKind.HANGUP: ("say", "hangup", "intents", "no"),
}
_KIND_KEYS = ("ask", "confirm", "tool", "transfer", "hangup")
_ALL_STATE_KEYS = tuple(sorted({key for keys in _STATE_OF_KIND.values() for key in keys}))
_KEYS = "0123456789*#"

_DEFAULT_REPAIRS = {
    "not_understood": "Sorry, I did not catch that.",
    "out_of_scope": "Sorry, that is something I can not help with.",
    "help": "Let me put it another way.",
    "still_there": "Are you still there?",
    "silent_goodbye": "I can not hear you, so I will hang up now. Please call again. Goodbye.",
    "more_digits": "Yes, go on.",
    "too_many_digits": "That was one digit too many for me.",
    "yes_or_no": "Please press one for yes, or two for no.",
    "not_heard": "Let me read that to you once more.",
    "unclear_correction": "Sorry, I am not sure which part to change.",
    "still_working": "I am still working on it, one moment please.",
    "no_result": "I found nothing about that, I am afraid.",
    "failed": "I am sorry, our system does not answer at the moment.",
    "meanwhile": "By the way, about your earlier request.",
}


def load_dialogue(path: Path) -> DialogueSpec:
    """Read a dialogue file; raises ``DialogueError`` naming file and line."""
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DialogueError(str(path), f"can not be read: {error}") from None
    return parse_dialogue(source, file=str(path), may_name_parts=True)


def parse_dialogue(source: str, *, file: str = "dialogue.yaml", may_name_parts: bool = False) -> DialogueSpec:
    """Read a dialogue from text; raises ``DialogueError`` naming ``file`` and the line.

    ``may_name_parts``: services are named by code that is run, so only the operator's own file may name them.
    """
    root = read_document(source, file)
    known = (*_DIALOGUE, *PARTS)
    if not may_name_parts and (named := [node for key, node in entries(root).items() if key in PARTS]):
        named[0].fail("a service may be named in the file of agent.dialogue only")
    top = Section(root, known if may_name_parts else _DIALOGUE, ("dialogue", "disclosure", "start", "states"))
    slots, intents, states = (
        _named(top.get(section), read) for section, read in (("slots", _slot), ("intents", _intent), ("states", _state))
    )
    spec = DialogueSpec(
        name=top.take("dialogue", name, ""),
        disclosure=top.take("disclosure", lines, ()),
        start=top.take("start", name, ""),
        slots=slots,
        intents=intents,
        states=states,
        everywhere=top.take("everywhere", _names, ()),
        repairs=_repairs(top.get("repairs")),
        variables=top.take("variables", _variables, {}),
    )
    check(spec, top.node)
    return spec


def _named(node: Node | None, read: Any) -> dict[str, Any]:
    """A mapping of names to things, each read by ``read(name, node)``."""
    found: dict[str, Any] = {}
    for key, value in (entries(node) if node is not None else {}).items():
        check_name(value, key)
        found[key] = read(key, value)
    return found


def _names(node: Node) -> tuple[str, ...]:
    return tuple(name(item) for item in items(node))


def _variables(node: Node) -> dict[str, Any]:
    return {key: value_of(value) for key, value in entries(node).items()}


# --- slots ---------------------------------------------------------------------------------------------------


def _slot(slot_name: str, node: Node) -> SlotSpec:
    every = (*_SLOT, *(key for keys in _SLOT_OF_KIND.values() for key in keys))
    part = Section(node, every, ("kind", "prompt"))
    kind = SlotKind(part.take("kind", lambda n: one_of(n, [k.value for k in SlotKind]), ""))
    for key in every:
        value = part.get(key)
        if value is not None and key not in (*_SLOT, *_SLOT_OF_KIND[kind]):
            value.fail(f"means nothing for a slot of kind {kind.value}")
    slot = SlotSpec(
        name=slot_name,
        kind=kind,
        prompt=part.take("prompt", lines, ()),
        again=part.take("again", lines, ()),
        keys=part.take("keys", lines, ()),
        confirm=part.take("confirm", lines, ()),
        invalid=part.take("invalid", lines, ()),
        length=part.take("length", lambda n: whole(n, least=1, most=32), None),
        check=part.take("check", lambda n: one_of(n, list(CHECKS)), "none"),
        groups=part.take("groups", lambda n: tuple(whole(item, least=1, most=32) for item in items(n)), ()),
        interrupt=part.take("interrupt", flag, True),
        earliest_days=part.take("earliest_days", lambda n: whole(n, most=366), 0),
        latest_days=part.take("latest_days", lambda n: whole(n, most=366), 366),
        not_on=part.take("not_on", lambda n: tuple(WEEKDAYS.index(one_of(i, WEEKDAYS)) for i in items(n)), ()),
    )
    groups, interrupt = part.get("groups"), part.get("interrupt")
    if interrupt is not None and slot.interrupt and slot.length is None:
        interrupt.fail("needs a length: without one no number has too many digits")
    if groups is not None and slot.length is not None and sum(slot.groups) != slot.length:
        groups.fail(f"add up to {sum(slot.groups)}, the length is {slot.length}")
    if slot.earliest_days > slot.latest_days:
        node.fail("earliest_days is after latest_days")
    return slot


# --- intents -------------------------------------------------------------------------------------------------


def _intent(intent_name: str, node: Node) -> IntentSpec:
    part = Section(node, _INTENT, ("phrases",))
    outcomes = [key for key in ("say", "go", "does") if key in part]
    if len(outcomes) != 1:
        node.fail("needs exactly one of: say (an answer), go (a state), does (repeat or resume)")
    does = part.take("does", lambda n: one_of(n, [d.value for d in IntentDoes]), "")
    return IntentSpec(
        name=intent_name,
        patterns=part.take("phrases", _patterns, ()),
        words=part.take("words", _pointing, ()),
        confirm=part.take("confirm", lines, ()),
        key=part.take("key", _key, ""),
        say=part.take("say", lines, ()),
        go=part.take("go", name, ""),
        does=IntentDoes(does) if does else None,
    )


def _patterns(node: Node) -> tuple[Pattern, ...]:
    found = tuple(pattern(item) for item in items(node))
    if not found:
        node.fail("must hold at least one pattern")
    return found


def _pointing(node: Node) -> tuple[str, ...]:
    """Single words, as they are said."""
    found = []
    for item in items(node):
        said = normalise([text(item)])
        if len(said) != 1 or not weighs(said[0]):
            item.fail("must be one word that means something by itself")
        found.append(said[0])
    return tuple(dict.fromkeys(found))


def _key(node: Node) -> str:
    value = text(node)
    if len(value) != 1 or value not in _KEYS:
        node.fail(f"must be one key of {_KEYS}")
    return value


# --- states --------------------------------------------------------------------------------------------------


def _state(state_name: str, node: Node) -> StateSpec:
    part = Section(node, _ALL_STATE_KEYS)
    kind = _kind(part)
    allowed = _STATE_OF_KIND[kind]
    for key in _ALL_STATE_KEYS:
        value = part.get(key)
        if value is not None and key not in allowed:
            value.fail(f"means nothing in a state of kind {kind.value}; known there: {', '.join(allowed)}")
    for key in {StateKind.LISTEN: ("say",), StateKind.ASK: ("then",), StateKind.CONFIRM: ("yes", "no")}.get(kind, ()):
        if key not in part:
            node.fail(f"'{key}' is missing: a state of kind {kind.value} needs it")
    return StateSpec(
        name=state_name,
        kind=kind,
        say=part.take("confirm" if kind is StateKind.CONFIRM else "say", lines, ()),
        again=part.take("again", lines, ()),
        help=part.take("help", lines, ()),
        intents=part.take("intents", _names, ()),
        yes=part.take("yes", name, ""),
        no=part.take("no", name, ""),
        ask=part.take("ask", name, ""),
        keep=part.take("keep", flag, False),
        correct=part.take("correct", _names, ()),
        tool=part.take("tool", _tool, None),
        transfer=part.take("transfer", template, None),
        failed=part.take("failed", _answer, None),
        hangup=part.take("hangup", name, ""),
        then=part.take("then", name, ""),
    )


def _kind(part: Section) -> StateKind:
    kinds = [key for key in _KIND_KEYS if key in part]
    if len(kinds) > 1:
        part.node.fail(f"a state does one thing, not: {' and '.join(kinds)}")
    if kinds:
        return StateKind(kinds[0])
    return StateKind.PASS if "then" in part else StateKind.LISTEN


def _tool(node: Node) -> ToolSpec:
    part = Section(node, _TOOL, ("name", "answers"))
    return ToolSpec(
        name=part.take("name", name, ""),
        arguments=part.take("arguments", lambda n: tuple((k, template(v)) for k, v in entries(n).items()), ()),
        filler=part.take("filler", lines, ()),
        answers=part.take("answers", lambda n: tuple(_answer(item) for item in items(n)), ()),
        empty=part.take("empty", _answer, None),
        failed=part.take("failed", _answer, None),
        changes=part.take("changes", flag, False),
    )


def _answer(node: Node) -> Answer:
    part = Section(node, _ANSWER)
    return Answer(
        when=part.take("when", _conditions, ()),
        say=part.take("say", lines, ()),
        go=part.take("go", name, ""),
        clear=part.take("clear", _names, ()),
    )


def _conditions(node: Node) -> tuple[tuple[tuple[str, ...], tuple[Any, ...]], ...]:
    return tuple(
        (tuple(path.split(".")), tuple(scalar(item) for item in items(value))) for path, value in entries(node).items()
    )


# --- repairs -------------------------------------------------------------------------------------------------


def _repairs(node: Node | None) -> Repairs:
    said: dict[str, Any] = {key: (parse_template(value),) for key, value in _DEFAULT_REPAIRS.items()}
    if node is None:
        return Repairs(**said)
    part = Section(node, (*_DEFAULT_REPAIRS, "give_up"))
    for key in _DEFAULT_REPAIRS:
        said[key] = part.take(key, lines, said[key])
    return Repairs(**said, give_up=part.take("give_up", name, ""))
