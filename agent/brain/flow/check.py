"""Rules over a whole dialogue: every name leads somewhere, everything can be reached, every text can be said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from agent.brain.flow.reader import Node, entries, items
from agent.brain.flow.spec import Answer, DialogueSpec, Lines, SlotKind, StateKind, StateSpec
from agent.brain.flow.template import Template


def check(spec: DialogueSpec, root: Node) -> None:
    """Raise ``DialogueError`` for the first rule that is broken, with the line."""
    checker = _Checker(spec, root)
    checker.check_start()
    checker.check_intents()
    checker.check_states()
    checker.check_reach()
    checker.check_texts()


class _Checker:
    def __init__(self, spec: DialogueSpec, root: Node) -> None:
        self._spec = spec
        self._root = root

    def _at(self, *path: str | int) -> Node:
        """The node at ``path``, or the deepest one on the way that is there."""
        node = self._root
        for key in path:
            found: Mapping[str, Node] | list[Node]
            if isinstance(key, int):
                found = items(node)
                if key >= len(found):
                    break
                node = found[key]
            else:
                children = entries(node)
                if key not in children:
                    break
                node = children[key]
        return node

    def _known(self, kind: str, value: str, known: Iterable[str], *path: str | int) -> None:
        if value not in known:
            names = ", ".join(known) or "none"
            self._at(*path).fail(f"there is no {kind} '{value}'; there are: {names}")

    def _state(self, value: str, *path: str | int) -> None:
        if value:
            self._known("state", value, self._spec.states, *path)

    # --- names ---

    def check_start(self) -> None:
        self._state(self._spec.start, "start")
        self._state(self._spec.repairs.give_up, "repairs", "give_up")
        for number, intent in enumerate(self._spec.everywhere):
            self._known("intent", intent, self._spec.intents, "everywhere", number)

    def check_intents(self) -> None:
        for name, intent in self._spec.intents.items():
            self._state(intent.go, "intents", name, "go")
            for number, pattern in enumerate(intent.patterns):
                for slot in pattern.slots:
                    self._known("slot", slot, self._spec.slots, "intents", name, "phrases", number)
                    if self._spec.slots[slot].kind is not SlotKind.DIGITS:
                        self._at("intents", name, "phrases", number).fail("only slots of kind digits fit in a pattern")

    def check_states(self) -> None:
        for name, state in self._spec.states.items():
            for key in ("yes", "no", "then"):
                self._state(getattr(state, key), "states", name, key)
            for number, intent in enumerate(state.intents):
                self._known("intent", intent, self._spec.intents, "states", name, "intents", number)
            if state.ask:
                self._known("slot", state.ask, self._spec.slots, "states", name, "ask")
            for number, slot in enumerate(state.correct):
                self._known("slot", slot, self._spec.slots, "states", name, "correct", number)
                if self._spec.slots[slot].kind not in (SlotKind.DIGITS, SlotKind.DATE):
                    self._at("states", name, "correct", number).fail("only digits and dates can be corrected")
            for path, answer in _answers(state):
                self._state(answer.go, "states", name, *path, "go")
                for slot in answer.clear:
                    self._known("slot", slot, self._spec.slots, "states", name, *path, "clear")
            self._check_tool(state)
            self._check_keys(state)

    def _check_tool(self, state: StateSpec) -> None:
        if state.tool is None:
            return
        for path, answer in _answers(state):
            if not answer.go and not state.then:
                self._at("states", state.name, *path).fail(
                    "leads nowhere: give the answer a 'go' or the state a 'then'"
                )
        if not state.then and (state.tool.empty is None or state.tool.failed is None):
            self._at("states", state.name).fail("without 'then' the tool needs 'empty' and 'failed' answers that go on")

    def _check_keys(self, state: StateSpec) -> None:
        keys: dict[str, str] = {}
        for intent in self._spec.live_intents(state.name):
            key = self._spec.intents[intent].key
            if key and key in keys:
                self._at("intents", intent, "key").fail(
                    f"key {key} also means '{keys[key]}' in state '{state.name}': give one of them another key"
                )
            keys[key] = intent

    # --- reach ---

    def check_reach(self) -> None:
        used = {name for state in self._spec.states.values() for name in state.intents} | set(self._spec.everywhere)
        for name in self._spec.intents:
            if name not in used:
                self._at("intents", name).fail("can not be reached: list it in 'everywhere' or in a state's 'intents'")
        reached = self._reached()
        for name in self._spec.states:
            if name not in reached:
                self._at("states", name).fail("can not be reached from the start")
        for name in self._spec.states:
            self._check_no_circle(name)

    def _reached(self) -> set[str]:
        todo = [self._spec.start, self._spec.repairs.give_up]
        todo += [self._spec.intents[name].go for name in self._spec.everywhere]
        reached: set[str] = set()
        while todo:
            name = todo.pop()
            if name and name not in reached:
                reached.add(name)
                todo += list(self._next(self._spec.states[name]))
        return reached

    def _next(self, state: StateSpec) -> Iterator[str]:
        yield from (state.yes, state.no, state.then)
        yield from (self._spec.intents[name].go for name in state.intents)
        yield from (answer.go for _, answer in _answers(state))

    def _check_no_circle(self, name: str) -> None:
        seen: list[str] = []
        while name and self._spec.states[name].kind is StateKind.PASS:
            if name in seen:
                self._at("states", name, "then").fail(
                    f"goes in a circle without listening: {' → '.join([*seen, name])}"
                )
            seen.append(name)
            name = self._spec.states[name].then

    # --- texts ---

    def check_texts(self) -> None:
        spec = self._spec
        self._texts(spec.disclosure, "disclosure")
        for name, slot in spec.slots.items():
            for key in ("prompt", "again", "keys", "confirm", "invalid"):
                self._texts(getattr(slot, key), "slots", name, key)
            if slot.confirm and not any(hole.root == name for text in slot.confirm for hole in text.holes):
                self._at("slots", name, "confirm").fail(f"must read the value back: use {{{name}}}")
        for name, intent in spec.intents.items():
            self._texts(intent.say, "intents", name, "say")
            self._texts(intent.confirm, "intents", name, "confirm")
        for name, state in spec.states.items():
            key = "confirm" if state.kind is StateKind.CONFIRM else "say"
            self._texts(state.say, "states", name, key)
            self._texts(state.again, "states", name, "again")
            self._texts(state.help, "states", name, "help")
            if state.transfer is not None:
                self._texts((state.transfer,), "states", name, "transfer")
            for path, answer in _answers(state):
                self._texts(answer.say, "states", name, *path, "say", result=state.tool is not None)
            if state.tool is not None:
                self._texts(state.tool.filler, "states", name, "tool", "filler")
                self._texts((value for _, value in state.tool.arguments), "states", name, "tool", "arguments")
        for key in entries(self._at("repairs")) if self._at("repairs") is not self._root else {}:
            if key != "give_up":
                self._texts(getattr(spec.repairs, key), "repairs", key)

    def _texts(self, texts: Iterable[Template] | Lines, *path: str | int, result: bool = False) -> None:
        known = {*self._spec.slots, *self._spec.variables, *(("result",) if result else ())}
        for text in texts:
            for hole in text.holes:
                if hole.root == "result" and not result:
                    self._at(*path).fail("{result} is known only in the answers of a tool")
                if hole.root not in known:
                    names = ", ".join(sorted(known)) or "none"
                    self._at(*path).fail(f"'{hole.root}' is neither a slot nor a variable; there are: {names}")


def _answers(state: StateSpec) -> Iterator[tuple[tuple[str | int, ...], Answer]]:
    """Every answer of a state with its path in the file."""
    if state.failed is not None:
        yield ("failed",), state.failed
    if state.tool is not None:
        for number, answer in enumerate(state.tool.answers):
            yield ("tool", "answers", number), answer
        for key, other in (("empty", state.tool.empty), ("failed", state.tool.failed)):
            if other is not None:
                yield ("tool", key), other
