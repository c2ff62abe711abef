"""FlowBrain: one dialogue for many calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

from agent.brain.flow.conversation import FlowConversation
from agent.brain.flow.flow import build_flow
from agent.brain.flow.inputs import World
from agent.brain.flow.spec import DialogueSpec, Lines
from agent.brain.flow.template import parse_template
from agent.brain.protocol import CallFacts, Conversation


class FlowBrain:
    """Runs a dialogue that ``load_dialogue`` has read.

    ``today`` gives the caller's date when a call opens; the variable ``today`` (ISO) of ``call.incoming`` overrides it.
    ``disclosure`` replaces the dialogue's own.
    """

    def __init__(self, spec: DialogueSpec, *, today: Callable[[], date], disclosure: str = "") -> None:
        self._today = today
        self._flow = build_flow(replace(spec, disclosure=(parse_template(disclosure),)) if disclosure else spec)

    @property
    def name(self) -> str:
        return self._flow.spec.name

    def open(self, call: CallFacts) -> Conversation:
        variables = {**self._flow.spec.variables, **call.variables}
        world = World(call_id=call.call_id, today=self._day(variables.get("today")), variables=variables)
        return FlowConversation(self._flow, world)

    def _day(self, given: object) -> date:
        try:
            return date.fromisoformat(str(given)) if given else self._today()
        except ValueError:
            return self._today()

    def fixed_phrases(self) -> list[str]:
        """Every text without values: what a voice may render ahead of time."""
        spec = self._flow.spec
        texts: list[Lines] = [spec.disclosure]
        texts += [lines for state in spec.states.values() for lines in (state.say, state.again, state.help)]
        texts += [lines for slot in spec.slots.values() for lines in (slot.prompt, slot.again, slot.keys, slot.invalid)]
        texts += [lines for intent in spec.intents.values() for lines in (intent.say, intent.confirm)]
        for state in spec.states.values():
            if state.tool is not None:
                texts += [answer.say for answer in state.tool.answers]
                texts.append(state.tool.filler)
        repairs = spec.repairs
        texts += [repairs.not_understood, repairs.still_there, repairs.more_digits, repairs.out_of_scope]
        texts += [repairs.too_many_digits, repairs.yes_or_no, repairs.help]
        return list(dict.fromkeys(text.source for lines in texts for text in lines if not text.holes))
