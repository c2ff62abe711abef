"""The lines of a dialogue and their names, so that a simulated caller knows what it is being asked. Pure.

A caller hears a sentence. Which of the dialogue's lines it is, and what was said in its holes, is found by the text
alone: ``slot.number.confirm`` with ``("one two three four, five six seven eight",)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields

from agent.brain.flow.spec import Answer, DialogueSpec, Lines
from agent.brain.flow.template import Template
from agent.brain.flow.words import DIGIT_WORDS, bare


@dataclass(frozen=True, slots=True)
class Heard:
    """One line of the agent."""

    line: str
    """``slot.<name>.<what>``, ``state.<name>.<what>``, ``intent.<name>``, ``meant.<intent>`` (asks about it),
    ``answer.<state>`` (also ``refused``, ``empty``, ``failed``, ``filler``), ``repair.<what>``, ``disclosure``."""
    values: tuple[str, ...] = ()
    """What stood in its holes, as it was spoken."""


class LineBook:
    """Every line of a dialogue."""

    def __init__(self, spec: DialogueSpec) -> None:
        self.keys = _keys(spec)
        """Intents that the help of the start names a key for, with it."""
        self._known = [(name, _pattern(line)) for name, lines in _named(spec) for line in lines]

    def find(self, text: str) -> Heard | None:
        """The line that ``text`` is; ``None`` where the dialogue has no such line."""
        said = " ".join(text.split())
        for name, pattern in self._known:
            if found := pattern.fullmatch(said):
                return Heard(name, found.groups())
        return None


def _keys(spec: DialogueSpec) -> dict[str, str]:
    told = {bare(word) for line in spec.states[spec.start].help for word in str(line.parts[0]).split()}
    live = (spec.intents[name] for name in spec.live_intents(spec.start))
    return {one.name: one.key for one in live if one.key.isdigit() and DIGIT_WORDS[int(one.key)] in told}


def _named(spec: DialogueSpec) -> Iterator[tuple[str, Lines]]:
    yield "disclosure", spec.disclosure
    for slot in spec.slots.values():
        for what in ("prompt", "again", "keys", "confirm", "invalid"):
            yield f"slot.{slot.name}.{what}", getattr(slot, what)
    for state in spec.states.values():
        for what in ("say", "again", "help"):
            yield f"state.{state.name}.{what}", getattr(state, what)
        if state.tool is not None:
            yield f"filler.{state.name}", state.tool.filler
            yield from ((_answer(answer, state.name), answer.say) for answer in state.tool.answers)
            for what, other in (("empty", state.tool.empty), ("failed", state.tool.failed)):
                yield f"{what}.{state.name}", () if other is None else other.say
    for intent in spec.intents.values():
        yield f"intent.{intent.name}", intent.say
        yield f"meant.{intent.name}", intent.confirm
    for field in fields(spec.repairs):
        if field.name != "give_up":
            yield f"repair.{field.name}", getattr(spec.repairs, field.name)


def _answer(answer: Answer, state: str) -> str:
    """An answer that goes elsewhere than on has not given the caller what they wanted."""
    return f"{'refused' if answer.go else 'answer'}.{state}"


def _pattern(line: Template) -> re.Pattern[str]:
    parts = (re.escape(part) if isinstance(part, str) else "(.+?)" for part in line.parts)
    return re.compile("".join(parts).replace(r"\ ", " ").strip())
