"""Whether a call did what its caller wanted: by the service's record, events and timeline, and the customer's server.

What the simulated caller believes is not asked. Pure.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agent.bench.statistics import Proportion, number
from agent.bench.task_goals import GROUPS, Goal, Kind
from agent.bench.task_lines import LineBook
from agent.brain.flow.words import spell_digits

HARMLESS: Final = frozenset({"again", "go_on", "enough", "thanks", "here", "robot"})
"""Intents that change nothing where they are heard by mistake."""
ANSWERS: Final[Mapping[Kind, str]] = {
    Kind.TRACK: "answer.track_status",
    Kind.TRACK_AT_ONCE: "answer.track_status",
    Kind.CHANGE: "answer.change_book",
    Kind.COMPLAIN: "answer.complaint_file",
    Kind.COMPLAIN_WITHOUT: "answer.complaint_file",
    Kind.HOURS: "intent.hours",
}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What the customer's server was asked, and what it answered."""

    name: str
    arguments: Mapping[str, Any]
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """All that is known of one call besides what its caller thinks."""

    record: Mapping[str, Any]
    """``GET /v1/calls/{id}``."""
    events: Sequence[Mapping[str, Any]]
    """Its webhook events: ``name``, ``data``."""
    timeline: Sequence[Mapping[str, Any]]
    tools: Sequence[ToolCall]

    def notes(self, key: str) -> list[Any]:
        """Values of the dialogue's own notes."""
        found = [entry.get("data") or {} for entry in self.timeline if entry.get("kind") == "note"]
        return [data.get("value") for data in found if data.get("key") == key]

    def intents(self) -> list[str]:
        """Intents that were understood, in order."""
        return [str(value.get("name")) for value in self.notes("intent") if isinstance(value, Mapping)]

    def utterances(self) -> list[tuple[str, bool]]:
        """What the agent meant to say, and whether it was heard to its last word."""
        begun: dict[Any, str] = {}
        found = []
        for entry in self.timeline:
            data = entry.get("data") or {}
            if entry.get("kind") != "utterance":
                continue
            if data.get("phase") == "started":
                begun[data.get("number")] = str(data.get("text", ""))
            elif data.get("number") in begun:
                text = begun.pop(data["number"])
                found.append((text, str(data.get("heard", "")).split() == text.split()))
        return found

    def has(self, event: str) -> bool:
        return any(one.get("name") == event for one in self.events)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One call."""

    kind: Kind
    reached: bool
    why: str
    """What was missing; empty where the goal was reached."""
    wrong: tuple[str, ...]
    """What was done that the caller never asked for."""
    turns: int
    again: int
    """Questions that were put once more, and numbers that were read back wrong."""
    seconds: float
    keyed: bool
    is_void: bool = False
    """The caller was late with its own packets: this machine was too busy."""
    said: tuple[str, ...] = field(default=())
    """What the caller said, for people who look why."""


def judge(
    goal: Goal,
    told: Told,
    book: LineBook,
    *,
    asked: Sequence[str] | set[str],
    keyed: bool,
    said: Sequence[str] = (),
    is_void: bool = False,
) -> Outcome:
    """``asked``: intents that the caller has really said."""
    why = _missing(goal, told, book)
    data = told.record.get("data") or {}
    return Outcome(
        kind=goal.kind,
        reached=not why,
        why=why,
        wrong=tuple(_wrong(goal, told, set(asked))),
        turns=sum(one.get("name") == "call.turn" for one in told.events),
        again=len(told.notes("miss")) + len(told.notes("slot_part")) + _misread(goal, told, book),
        seconds=float(data.get("duration_s") or 0.0),
        keyed=keyed,
        is_void=is_void,
        said=tuple(said),
    )


def _missing(goal: Goal, told: Told, book: LineBook) -> str:
    """What keeps this from being a success."""
    if not told.has("call.ended"):
        return "the call has no end in the books"
    if goal.kind is Kind.PERSON:
        if "person" not in told.intents():
            return "the wish for a person was not understood"
        return "" if told.has("call.transferred") else "not put through"
    wanted = wanted_tool(goal)
    if wanted is not None:
        name, arguments = wanted
        right = [tool for tool in told.tools if tool.name == name and _fits(tool, arguments)]
        if not right:
            return f"{name} was not asked for {_plain(arguments)}"
        if right[-1].result.get("ok", right[-1].result.get("found")) is not True:
            return f"{name} did not do it"
    elif goal.intent not in told.intents():
        return f"{goal.intent} was not understood"
    heard = [text for text, whole in told.utterances() if whole and _is(book, text, ANSWERS[goal.kind])]
    return "" if heard else "the answer was not heard to its end"


def wanted_tool(goal: Goal) -> tuple[str, dict[str, Any]] | None:
    """What the customer's server must be asked, with these values."""
    match goal.kind:
        case Kind.TRACK | Kind.TRACK_AT_ONCE:
            return "parcel_status", {"number": goal.number}
        case Kind.CHANGE:
            return "change_delivery", {"number": goal.number, "day": goal.day.isoformat()}
        case Kind.COMPLAIN:
            return "file_complaint", {"number": goal.number}
        case Kind.COMPLAIN_WITHOUT:
            return "file_complaint", {"number": None}
        case _:
            return None


def _fits(tool: ToolCall, arguments: Mapping[str, Any]) -> bool:
    return all(tool.arguments.get(name) == value for name, value in arguments.items())


def _wrong(goal: Goal, told: Told, asked: set[str]) -> list[str]:
    """Tools asked with another value or without a wish, and wishes that were never spoken."""
    wanted = wanted_tool(goal)
    tools = [
        f"{tool.name} {_plain(tool.arguments)}"
        for tool in told.tools
        if wanted is None or tool.name != wanted[0] or not _fits(tool, wanted[1])
    ]
    return tools + [f"intent {name}" for name in told.intents() if name not in asked | HARMLESS]


def _misread(goal: Goal, told: Told, book: LineBook) -> int:
    """Numbers that were read back and are not the caller's."""
    right = spell_digits(goal.number, GROUPS)
    found = [book.find(text) for text, _ in told.utterances()]
    confirms = ("slot.number.confirm", "slot.about.confirm")
    return sum(line is not None and line.line in confirms and line.values != (right,) for line in found)


def _is(book: LineBook, text: str, name: str) -> bool:
    line = book.find(text)
    return line is not None and line.line == name


def _plain(arguments: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in arguments.items())


# --- all calls ---


def task_figures(outcomes: Sequence[Outcome], placed: int) -> dict[str, Any]:
    """Success and what it took. A call that was not answered is a failure like any other."""
    done = [one for one in outcomes if one.reached]
    kept = [one for one in outcomes if not one.is_void]
    return {
        "calls": placed,
        "answered": len(outcomes),
        "void_calls": len(outcomes) - len(kept),
        "success": Proportion(len(done), placed).to_json(),
        "success_without_void": Proportion(sum(one.reached for one in kept), len(kept)).to_json(),
        "success_by_voice_alone": Proportion(sum(not one.keyed for one in done), placed).to_json(),
        "wrong_acceptances": Proportion(sum(bool(one.wrong) for one in outcomes), placed).to_json(),
        "keyed": sum(one.keyed for one in outcomes),
        "turns": _middle([one.turns for one in done]),
        "asked_again": _middle([one.again for one in outcomes]),
        "seconds": _middle([one.seconds for one in done]),
        "by_goal": _by_goal(outcomes),
        "failures": dict(Counter(f"{one.kind}: {one.why}" for one in outcomes if one.why)),
        "wrong": dict(Counter(f"{one.kind}: {what}" for one in outcomes for what in one.wrong)),
    }


def _by_goal(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    kinds = dict.fromkeys(one.kind for one in outcomes)
    found = {kind: [one.reached for one in outcomes if one.kind is kind] for kind in kinds}
    return {str(kind): Proportion(sum(reached), len(reached)).to_json() for kind, reached in sorted(found.items())}


def _middle(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and median."""
    mean = statistics.fmean(values) if values else math.nan
    median = statistics.median(values) if values else math.nan
    return {"mean": number(mean, 2), "p50": number(median, 2)}
