"""A simulated caller with a goal: hears the agent's lines, answers its questions, gives up after so many turns. Pure.

It knows what it wants and what it hears, nothing of the agent: what it is asked it finds by the line, whether a number
was understood by what is read back.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agent.bench.task_goals import GROUPS, Goal, Kind
from agent.bench.task_lines import Heard, LineBook
from agent.brain.flow.machine import NO_KEY, YES_KEY
from agent.brain.flow.words import bare, spell_date, spell_digits

MOST_TURNS: Final = 16
"""Somebody who has spoken that often hangs up."""
YES: Final = ("yes", "yes that is right", "that is right", "correct", "yes please")
NO: Final = ("no", "no that is wrong", "no that is not right")
THAT_IS_ALL: Final = ("no", "no thank you", "no that is all thank you")
BYE: Final = ("goodbye", "that is all thank you", "bye bye")


class What(StrEnum):
    """What a caller does when it is their turn."""

    SAY = "say"
    KEYS = "keys"
    LISTEN = "listen"
    """Nothing was asked: wait."""
    HANG_UP = "hang_up"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the caller."""

    what: What
    text: str = ""
    """Words, or keys."""


LISTEN = Reply(What.LISTEN)


class TaskCaller:
    """One caller: ``heard`` for each line of the agent, ``reply`` when it is silent, ``prompt`` after long silence."""

    def __init__(self, goal: Goal, book: LineBook, *, seed: int, use_keys: bool = True) -> None:
        """``use_keys``: presses the keys of its telephone where the agent asks for that."""
        self.goal = goal
        self._book, self._rng, self._use_keys = book, random.Random(seed), use_keys
        self._key = book.keys.get(goal.intent, "")
        self._lines: list[Heard] = []
        self._openings = self._details = self._days = 0
        self._last = LISTEN
        self._agreed = True
        """What was read back last was right."""
        self.is_served = False
        """The caller believes that they have what they wanted."""
        self.turns = 0
        self.keyed = 0
        """Numbers that were keyed in."""
        self.gave_up = False
        self.asked: set[str] = set()
        """Intents that the caller has really said."""
        self.said: list[str] = []

    def heard(self, text: str) -> None:
        """The agent said ``text``, to where it counts as heard."""
        line = self._book.find(text)
        if line is None:
            return
        self._lines.append(line)
        self.is_served = self.is_served or self._is_answer(line)

    def reply(self) -> Reply:
        """The answer to what was heard since the last one."""
        lines, self._lines = self._lines, []
        question = next((line for line in reversed(lines) if _asks(line)), None)
        return LISTEN if question is None else self._do(self._answer(question))

    def prompt(self) -> Reply:
        """Nothing happens: say the last thing again, or what the call is about where nothing was asked yet."""
        return self._do(self._opening() if self._last is LISTEN else self._last)

    # --- answers ---

    def _do(self, reply: Reply) -> Reply:
        if reply.what is What.LISTEN:
            return reply
        if self.turns >= MOST_TURNS:
            self.gave_up = True
            return Reply(What.HANG_UP)
        self.turns += 1
        self.keyed += reply.what is What.KEYS
        self.said.append(reply.text)
        self._last = reply
        return reply

    def _is_answer(self, line: Heard) -> bool:
        """The line that tells the caller what they called for."""
        return (
            line.line
            in {
                Kind.TRACK: ("answer.track_status",),
                Kind.TRACK_AT_ONCE: ("answer.track_status",),
                Kind.CHANGE: ("answer.change_book",),
                Kind.COMPLAIN: ("answer.complaint_file",),
                Kind.COMPLAIN_WITHOUT: ("answer.complaint_file",),
                Kind.HOURS: ("intent.hours",),
                Kind.PERSON: ("state.to_person.say",),
            }[self.goal.kind]
        )

    def _answer(self, question: Heard) -> Reply:
        kind, _, rest = question.line.partition(".")
        name, _, what = rest.partition(".")
        if kind == "meant":
            return self._say_yes_or_no(name in self._wishes())
        if kind == "slot":
            return self._slot(name, what, question)
        if question.line == "repair.yes_or_no":
            return self._key_yes_or_no(self._agreed)
        if kind == "repair":
            return self._number()  # "yes, go on": the whole number once more
        return _STATES[name](self, what, question)

    def _slot(self, name: str, what: str, question: Heard) -> Reply:
        goal = self.goal
        if what == "confirm":
            return self._confirm(question.values == (spell_digits(goal.number, GROUPS),) and goal.with_number)
        if name == "details":
            self._details += 1
            return Reply(What.SAY, goal.details[(self._details - 1) % len(goal.details)])
        if name == "day":
            return self._day() if goal.kind is Kind.CHANGE else self._opening()
        if name == "about" and not goal.with_number:
            self.asked.add("no_number")
            return Reply(What.SAY, goal.no_number)
        if not goal.with_number:
            return self._opening()  # asked for a number by somebody who wants something else
        if what == "keys" and self._use_keys:
            return Reply(What.KEYS, goal.number)
        return self._number()

    def _day(self) -> Reply:
        self._days += 1
        return Reply(What.SAY, self.goal.days_said[(self._days - 1) % len(self.goal.days_said)])

    def _number(self) -> Reply:
        return Reply(What.SAY, spell_digits(self.goal.number, GROUPS))

    def _opening(self) -> Reply:
        """What the caller wants, each time in other words."""
        if self.is_served:
            return self._leave()
        openings = self.goal.openings
        self._openings += 1
        self.asked.add(self.goal.intent)
        return Reply(What.SAY, openings[(self._openings - 1) % len(openings)])

    def _leave(self) -> Reply:
        self.asked.add("goodbye")
        return Reply(What.SAY, self._rng.choice(BYE))

    def _anything_else(self, what: str, question: Heard) -> Reply:
        if self.is_served:
            self.asked.add("goodbye")  # "that is all" is one
            return Reply(What.SAY, self._rng.choice(THAT_IS_ALL))
        return self._opening()

    def _menu(self, what: str, question: Heard) -> Reply:
        """Told what can be said or pressed, a caller does that."""
        if what != "help" or self.is_served:
            return self._opening()
        self.asked.add(self.goal.intent)
        if self._use_keys and self._key:
            return Reply(What.KEYS, self._key)
        return Reply(What.SAY, self.goal.offered)

    def _wishes(self) -> set[str]:
        """Intents that the caller would say yes to now."""
        if self.is_served:
            return {"goodbye"}
        return {self.goal.intent} if self.goal.with_number else {self.goal.intent, "no_number"} & self.asked

    def _change_confirm(self, what: str, question: Heard) -> Reply:
        if what == "help":
            return self._confirm(self._agreed)
        number, day = question.values
        spelled = spell_digits(self.goal.number, GROUPS), spell_date(self.goal.day)
        return self._confirm((number, day) == spelled and self.goal.kind is Kind.CHANGE)

    def _confirm(self, is_right: bool) -> Reply:
        self._agreed = is_right
        return self._say_yes_or_no(is_right)

    def _key_yes_or_no(self, is_right: bool) -> Reply:
        if not self._use_keys:
            return self._say_yes_or_no(is_right)
        return Reply(What.KEYS, YES_KEY if is_right else NO_KEY)

    def _say_yes_or_no(self, is_right: bool) -> Reply:
        return Reply(What.SAY, self._rng.choice(YES if is_right else NO))


_STATES: Final[dict[str, Callable[[TaskCaller, str, Heard], Reply]]] = {
    "menu": TaskCaller._menu,
    "anything_else": TaskCaller._anything_else,
    "change_confirm": TaskCaller._change_confirm,
}


def _asks(line: Heard) -> bool:
    """Whether the agent waits for an answer to it."""
    kind, _, rest = line.line.partition(".")
    if kind == "slot":
        return not rest.endswith(".invalid")
    if kind == "meant":
        return True
    if kind == "repair":
        return rest in ("more_digits", "yes_or_no")
    return kind == "state" and rest.partition(".")[0] in _STATES


def mostly_heard(whole: str, heard: str, share: float = 0.6) -> bool:
    """Whether so much of a line was heard that it can be understood."""
    words = [word for word in whole.split() if bare(word)]
    return len(heard.split()) >= share * len(words)
