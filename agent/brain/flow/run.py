"""One step of a dialogue in the making: what is said, asked and moved while an input is answered.

A ``Run`` is made for one input and thrown away; ``machine.step`` makes it look pure from outside.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.brain.flow.flow import Flow, expectation
from agent.brain.flow.inputs import World
from agent.brain.flow.slots import Reading
from agent.brain.flow.spec import Answer, Lines, SlotKind, SlotSpec, StateKind, StateSpec, ToolSpec
from agent.brain.flow.speech import Line, Speech
from agent.brain.flow.state import Asked, State
from agent.brain.flow.template import Template, Values, lookup, render
from agent.brain.protocol import Action, Hangup, Note, Say, SetExpect, Tool, ToolResult, Transfer

_MOST_HOPS = 20  # states that one input may pass through
_REST_AGE = 3
"""Answers after which the unheard rest of an older one is forgotten."""
GIVE_UP_AFTER = 3
"""Misunderstandings in a row after which the dialogue stops trying."""
SILENT_GOODBYE = "caller_silent"
"""Reason of the hang-up after the last silence."""


class Run:
    """Answers one input. ``finish`` gives the new state and the actions."""

    def __init__(self, flow: Flow, world: World, state: State, origin: str) -> None:
        self.flow = flow
        self.world = world
        self.state = state
        self._origin = origin
        self._lines: list[Line] = []
        self._notes: list[Note] = []
        self._tools: list[Tool] = []
        self._ending: Transfer | Hangup | None = None
        self._hops = 0

    # --- what everybody uses ---

    @property
    def node(self) -> StateSpec:
        return self.flow.spec.states[self.state.at]

    @property
    def slot(self) -> SlotSpec | None:
        """The slot that this state asks for."""
        return self.flow.slot_of(self.node)

    @property
    def has_answered(self) -> bool:
        """Something is said or asked."""
        return bool(self._lines or self._tools or self._ending)

    def set(self, **changes: Any) -> None:
        """Change the state."""
        self.state = replace(self.state, **changes)

    def note(self, key: str, value: Any) -> None:
        self._notes.append(Note(key=key, value=value))

    def say(
        self,
        lines: Lines,
        *,
        result: Any = None,
        slots: Mapping[str, str] | None = None,
        readback: bool = False,
        answer: bool = False,
    ) -> bool:
        """Say ``lines``; ``False`` (and nothing said) where a value in them is absent.

        ``readback``: the values in them are being confirmed, so it matters whether they are heard. ``answer``: it is
        what the caller asked for, and its unheard rest is worth going on with later.
        """
        values = self._values(result, slots)
        rendered = [render(line, values) for line in lines]
        if any(text.missing for text in rendered):
            return False
        said = [Line(text=text.text, value_words=text.value_words if readback else 0) for text in rendered if text.text]
        if readback and said and not any(line.value_words for line in said):
            # A question without values: most of it must be heard before a yes counts.
            said[-1] = replace(said[-1], value_words=len(said[-1].text.split()) // 2 + 1)
        self._lines += said
        return True

    def say_lines(self, lines: tuple[Line, ...]) -> None:
        """Say what was said before."""
        self._lines += lines

    def say_fixed(self, lines: Lines) -> None:
        """Say ``lines`` that must be heard whole."""
        values = self._values(None, None)
        self._lines += [Line(text=render(line, values).text, interruptible=False) for line in lines]

    def _values(self, result: Any, slots: Mapping[str, str] | None) -> Values:
        known = self.state.slots if slots is None else slots
        return Values(slots=known, formats=self.flow.formats, variables=self.world.variables, result=result)

    # --- slots ---

    def fill(self, slot: SlotSpec, value: str) -> None:
        """A value was understood; it is not agreed to yet."""
        self.set(
            guess="",
            slots={**self.state.slots, slot.name: value},
            confirmed=self.state.confirmed - {slot.name},
            value_heard=False,
            partial="",
            keys="",
        )
        self._forget_old_questions()
        self.note("slot", slot.name)

    def _forget_old_questions(self) -> None:
        """Of what was cut before, the questions are over; the answers are still worth going on with."""
        self.set(rest=tuple(line for line in self.state.rest if line.is_answer))

    def forget(self, *names: str) -> None:
        kept = {name: value for name, value in self.state.slots.items() if name not in names}
        self.set(slots=kept, confirmed=self.state.confirmed - set(names), partial="", keys="", value_heard=False)

    def agree(self, *names: str) -> None:
        self.set(confirmed=self.state.confirmed | set(names), confirming=False)

    # --- moving ---

    def enter(self, name: str) -> None:
        """Go to a state, and on through those that do not listen."""
        self._hops += 1
        if self._hops > _MOST_HOPS:
            self.end(Hangup(reason="dialogue_circle"))
            return
        self.set(at=name, confirming=False, guess="", value_heard=False, partial="", keys="", misses=0, waiting="")
        self._forget_old_questions()
        node = self.node
        self.note("state", name)
        match node.kind:
            case StateKind.LISTEN:
                self.tell_kept()
                self.say(node.say)
            case StateKind.PASS:
                self.say(node.say)
                self.enter(node.then)
            case StateKind.ASK:
                self._enter_ask(node)
            case StateKind.CONFIRM:
                self._enter_confirm(node)
            case StateKind.TOOL:
                self.say(node.say)
                self._ask_tool(node)
            case StateKind.TRANSFER | StateKind.HANGUP:
                self.say(node.say)
                self._leave(node)

    def _enter_ask(self, node: StateSpec) -> None:
        slot = self.flow.spec.slots[node.ask]
        self.say(node.say)
        if slot.name in self.state.confirmed and not node.keep:
            self.forget(slot.name)
        if slot.name not in self.state.slots:
            self.say(slot.prompt)
        elif slot.name in self.state.confirmed or not slot.confirm:
            self.agree(slot.name)
            self.enter(node.then)
        else:
            self.read_back(slot)

    def _enter_confirm(self, node: StateSpec) -> None:
        self.set(value_heard=False)
        if not self.say(node.say, readback=True):
            # A value that was cleared on the way here: nothing can be agreed to.
            self.enter(node.no)

    def read_back(self, slot: SlotSpec) -> None:
        """Say what was understood and ask whether it is right."""
        self.set(confirming=True, partial="", keys="")
        self.say(slot.confirm, readback=True)

    def accept(self, slot: SlotSpec, value: str) -> None:
        """A whole value for the slot of this ASK state: read it back, or go on."""
        self.fill(slot, value)
        self.set(misses=0)
        if slot.confirm:
            self.read_back(slot)
        else:
            self.agree(slot.name)
            self.enter(self.node.then)

    def ask_again(self) -> None:
        """Come back to the question that is open here."""
        node, slot = self.node, self.slot
        if self.state.guess:
            self.say(self.flow.spec.intents[self.state.guess].confirm, readback=True)
        elif slot is not None and self.state.confirming:
            self.say(slot.confirm, readback=True)
        elif slot is not None:
            self.say(slot.again or slot.prompt)
        elif node.kind is StateKind.CONFIRM:
            self.say(node.say, readback=True)
        elif node.kind is StateKind.LISTEN:
            self.say(node.again or node.say)
        else:
            self._leave(node)

    def _leave(self, node: StateSpec) -> None:
        if node.kind is StateKind.HANGUP:
            self.end(Hangup(reason=node.hangup))
        elif node.transfer is not None:
            self.end(Transfer(target=render(node.transfer, self._values(None, None)).text))

    def end(self, action: Transfer | Hangup) -> None:
        self._ending = action

    # --- misunderstandings ---

    def ask_whether(self, intent: str) -> None:
        """The caller seems to mean ``intent``: ask."""
        self.set(guess=intent, value_heard=False)
        self.note("intent_guess", {"name": intent})
        self.ask_again()

    def miss(self, why: Lines) -> None:
        """Not understood: say so once, then offer another way, then give up."""
        misses = self.state.misses + 1
        self.set(misses=misses, keys="")
        self.note("miss", misses)
        repairs = self.flow.spec.repairs
        if misses >= GIVE_UP_AFTER:
            if repairs.give_up:
                self.enter(repairs.give_up)
            else:
                self.say(repairs.silent_goodbye)
                self.end(Hangup(reason="not_understood"))
        elif misses == 1:
            self.say(why)
            self.ask_again()
        else:
            self.another_way()

    def denied_guess(self) -> None:
        """It was not meant: asking for the same once more would not help, so offer another way; then give up."""
        self.set(misses=max(self.state.misses, 1))
        self.note("intent_denied", self.state.guess)
        self.miss(())

    def another_way(self) -> None:
        """Asking has not helped: offer the keys, or what the state has for that (a person)."""
        self.set(guess="")
        other = self._other_way()
        if other:
            self.say(other)
        else:
            self.say(self.flow.spec.repairs.help)
            self.ask_again()

    def _other_way(self) -> Lines:
        slot, node, yes_or_no = self.slot, self.node, self.flow.spec.repairs.yes_or_no
        if self.state.confirming:
            return yes_or_no
        if slot is not None and slot.keys:
            return slot.keys
        is_yes_or_no = node.kind is StateKind.CONFIRM or (slot is not None and slot.kind is SlotKind.YES_NO)
        return node.help or (yes_or_no if is_yes_or_no else ())

    def refuse(self, slot: SlotSpec, reading: Reading) -> None:
        """A value that can not be taken."""
        repairs = self.flow.spec.repairs
        self.set(partial="")
        if reading is Reading.TOO_MANY:
            self.miss(repairs.too_many_digits)
        else:
            self.miss(slot.invalid or repairs.not_understood)

    # --- tools ---

    def _ask_tool(self, node: StateSpec) -> None:
        tool = node.tool
        assert tool is not None, "a TOOL state has a tool"
        arguments = {name: self._argument(template) for name, template in tool.arguments}
        request = self._request_id(tool.name, arguments)
        asked = self.state.asked.get(request)
        self.set(waiting=request)
        if asked is not None and asked.done:
            # Asked by an answer that was taken back, and the result is here already.
            self.tool_answer(request)
        elif asked is None:
            self.set(asked={**self.state.asked, request: Asked(state=node.name, slots=self.state.slots)})
            filler = " ".join(render(line, self._values(None, None)).text for line in tool.filler)
            self._tools.append(Tool(name=tool.name, arguments=arguments, request_id=request, filler=filler))

    def _argument(self, template: Template) -> Any:
        """A value as it is kept (digits, ISO date), not as it is spoken; text where it is mixed with words."""
        known = {**self.world.variables, **self.state.slots}
        if len(template.parts) == 1 and template.holes:
            return lookup(known, template.holes[0].path)
        parts = (part if isinstance(part, str) else str(lookup(known, part.path) or "") for part in template.parts)
        return "".join(parts)

    def _request_id(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The same for the same question of the same turn: asked again after a reopened turn, it is one request."""
        digest = hashlib.sha256(json.dumps([name, arguments], sort_keys=True, default=str).encode()).hexdigest()[:8]
        return f"{self.world.call_id}:{self._origin}:{name}:{digest}"

    def tool_result(self, result: ToolResult) -> None:
        """A result has come, whether anybody still waits for it or not."""
        asked = self.state.asked.get(result.request_id)
        if asked is None or asked.done:
            self.note("tool_result_ignored", result.request_id)
            return
        done = replace(asked, result=result.value, ok=result.ok, done=True)
        self.set(asked={**self.state.asked, result.request_id: done})
        if self.state.waiting == result.request_id:
            self.tool_answer(result.request_id)
            return
        self.note("tool_result_late", result.request_id)
        if self._tool_of(done).changes:
            self.set(kept=(*self.state.kept, result.request_id))
            if self.node.kind is StateKind.LISTEN:
                self.tell_kept()
                self.ask_again()

    def tool_answer(self, request: str) -> None:
        """Say what the result of ``request`` means, and go on from there."""
        asked = self.state.asked[request]
        node = self.flow.spec.states[asked.state]
        self.set(waiting="", silences=0)
        answer = self._say_result(asked)
        self.forget(*answer.clear)
        self.enter(answer.go or node.then)

    def tell_kept(self) -> None:
        """Results that came while the caller was elsewhere."""
        kept = self.state.kept
        self.set(kept=())
        for request in kept:
            self.say(self.flow.spec.repairs.meanwhile)
            self._say_result(self.state.asked[request])

    def _tool_of(self, asked: Asked) -> ToolSpec:
        tool = self.flow.spec.states[asked.state].tool
        assert tool is not None, "only TOOL states ask tools"
        return tool

    def _say_result(self, asked: Asked) -> Answer:
        """Say the answer that fits the result. There is always one: silence is no answer."""
        tool = self._tool_of(asked)
        repairs = self.flow.spec.repairs
        if not asked.ok:
            found, default = [tool.failed or Answer()], repairs.failed
        elif not asked.result:
            found, default = [tool.empty or Answer()], repairs.no_result
        else:
            found = [answer for answer in tool.answers if _holds(answer, asked.result)]
            found, default = [*found, tool.empty or Answer()], repairs.no_result
        for answer in found:
            if answer.say and self.say(answer.say, result=asked.result, slots=asked.slots, answer=True):
                return answer
        self.say(default)
        return found[-1]

    # --- the end of the step ---

    def finish(self) -> tuple[State, tuple[Action, ...]]:
        """The new state, and the actions in the order in which they are carried out."""
        says = [Say(text=line.text, interruptible=line.interruptible) for line in self._lines]
        if says:
            age = self.state.rest_age + 1
            self.set(speech=Speech(lines=tuple(self._lines)), rest_age=age)
            if age > _REST_AGE:
                self.set(rest=())
        expect = expectation(self.flow, self.state)
        changed = says or expect != self.state.expect
        self.set(expect=expect, ending=self._ending)
        actions: list[Action] = [*self._notes, *([SetExpect(expect=expect)] if changed else ()), *says, *self._tools]
        if self._ending is not None:
            actions.append(self._ending)
        return self.state, tuple(actions)


def _holds(answer: Answer, result: Any) -> bool:
    """Whether every condition of ``answer`` holds for ``result``."""
    return all(any(_same(lookup(result, path), value) for value in values) for path, values in answer.when)


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


def is_text_slot(slot: SlotSpec | None) -> bool:
    return slot is not None and slot.kind is SlotKind.TEXT
