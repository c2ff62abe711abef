"""Callers with goals against the real dialogue, as text: who hears everything serves all, who is deaf serves nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.bench.task_caller import MOST_TURNS, NO, YES, Reply, TaskCaller, What, mostly_heard
from agent.bench.task_goals import DIGITS, GROUPS, SHARES, TODAY, Goal, Kind, draw_goals
from agent.bench.task_judge import Outcome, Told, ToolCall, judge, task_figures
from agent.bench.task_lines import LineBook
from agent.bench.task_server import TaskStore, checked_dialogue
from agent.brain.examples import example_path
from agent.brain.flow.brain import FlowBrain
from agent.brain.flow.dates import read_date
from agent.brain.flow.digits import luhn
from agent.brain.flow.flow import build_flow
from agent.brain.flow.load import load_dialogue
from agent.brain.flow.words import spell_digits
from agent.brain.protocol import Hangup, Note, Say, Tool, Transfer
from tests.unit.agent.brain.talk import Reply as Answer
from tests.unit.agent.brain.talk import Talk

SPEC = load_dialogue(example_path("parcel") / "parcel.yaml")
BOOK = LineBook(SPEC)
MATCHER = build_flow(SPEC).matchers[SPEC.start]
HELP = str(SPEC.states[SPEC.start].help[0].parts[0])
MOST_STEPS = 60
Ears = Callable[[str], str]


class TextCall:
    """A caller and the real dialogue, without sound: ``ears`` say what the agent understands."""

    def __init__(self, goal: Goal, ears: Ears, *, use_keys: bool = True) -> None:
        self.goal, self.ears = goal, ears
        self.caller = TaskCaller(goal, BOOK, seed=1, use_keys=use_keys)
        self.store = TaskStore([goal])
        self.timeline: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.is_over = False
        self.talk = Talk(FlowBrain(SPEC, today=lambda: TODAY), open_call=False)

    def run(self) -> Outcome:
        self._take(self.talk.take(self.talk.conversation.opening()))
        for _ in range(MOST_STEPS):
            if self.is_over:
                break
            self._act(self.caller.reply())
        self.events.append({"name": "call.ended", "data": {}})
        told = Told(
            record={"data": {"duration_s": 10.0}},
            events=self.events,
            timeline=self.timeline,
            tools=self.store.asked("call1"),
        )
        return judge(self.goal, told, BOOK, asked=self.caller.asked, keyed=self.caller.keyed > 0)

    def _act(self, reply: Reply) -> None:
        if reply.what is What.HANG_UP:
            self.is_over = True
        elif reply.what is What.KEYS:
            self._take(self.talk.keys(reply.text))
        elif reply.what is What.LISTEN:
            self._take(self.talk.silence())
        else:
            self.events.append({"name": "call.turn", "data": {}})
            self._take(self.talk.say(self.ears(reply.text)))

    def _take(self, answer: Answer) -> None:
        for action in answer.actions:
            if isinstance(action, Say):
                number = len(self.timeline)
                self._note("utterance", phase="started", number=number, text=action.text)
                self._note("utterance", phase="ended", number=number, heard=action.text)
                self.caller.heard(action.text)
            elif isinstance(action, Note):
                self._note("note", key=action.key, value=action.value)
            elif isinstance(action, Transfer | Hangup):
                self.is_over = True
                if isinstance(action, Transfer):
                    self.events.append({"name": "call.transferred", "data": {}})
        for action in answer.actions:
            if isinstance(action, Tool):
                self._take(self.talk.result(action, self.store.ask("call1", action.name, action.arguments)))

    def _note(self, kind: str, **data: Any) -> None:
        self.timeline.append({"kind": kind, "data": data})


def goals(count: int = 40) -> list[Goal]:
    return draw_goals(SPEC, count, seed=3)


def one(kind: Kind) -> Goal:
    return next(goal for goal in goals() if goal.kind is kind)


def hears_all(text: str) -> str:
    return text


def is_deaf(_: str) -> str:
    return ""


def test_who_hears_everything_serves_every_caller() -> None:
    found = [TextCall(goal, hears_all).run() for goal in goals()]
    assert [(outcome.kind, outcome.why) for outcome in found if not outcome.reached] == []
    assert not [outcome for outcome in found if outcome.wrong or outcome.again or outcome.keyed]
    assert task_figures(found, len(found))["success"]["share"] == 1.0


BY_KEYS = {Kind.PERSON, Kind.TRACK, Kind.TRACK_AT_ONCE}


@pytest.mark.parametrize("use_keys", [True, False])
def test_a_deaf_agent_serves_nobody_by_voice(use_keys: bool) -> None:
    """By voice: it puts everybody through to a person in the end. Keys are enough for a status."""
    found = [TextCall(goal, is_deaf, use_keys=use_keys).run() for goal in goals()]
    figures = task_figures(found, len(found))
    assert figures["success_by_voice_alone"]["share"] == 0.0
    assert {outcome.kind for outcome in found if outcome.reached} == (BY_KEYS if use_keys else set())
    assert not figures["wrong"]


def test_a_wish_that_is_asked_about_is_agreed_to_or_denied() -> None:
    """A word that points to a complaint is all that is ever understood of the first sentence."""
    first: list[str] = []

    def ears(text: str) -> str:
        first.append(text)
        return "something smashed" if len(first) == 1 else text

    complaint = TextCall(one(Kind.COMPLAIN), ears)
    assert complaint.run().reached
    assert complaint.caller.said[1] in YES
    first.clear()
    other = TextCall(one(Kind.CHANGE), ears)
    assert other.run().reached
    assert other.caller.said[1] in NO
    assert other.caller.said[2] == "2", "a caller who is told the keys presses one"


def test_a_caller_who_presses_no_keys_says_what_they_are_told_to_say() -> None:
    for kind in Kind:
        caller = TaskCaller(one(kind), BOOK, seed=1, use_keys=False)
        caller.heard(HELP)
        assert caller.reply() == Reply(What.SAY, one(kind).offered)
        understood = MATCHER.best(one(kind).offered.split())
        assert understood is not None
        assert understood.intent == one(kind).intent


def test_a_number_that_is_misheard_is_denied_and_said_again() -> None:
    goal = one(Kind.TRACK)
    spoken, heard = spell_digits(goal.number, GROUPS), []

    def ears(text: str) -> str:
        heard.append(text)
        is_first = text == spoken and heard.count(spoken) == 1
        return " ".join(reversed(text.replace(",", "").split())) if is_first else text

    outcome = TextCall(goal, ears).run()
    assert outcome.reached
    assert outcome.again == 1
    assert not outcome.wrong


def test_a_denial_taken_for_a_yes_is_a_wrong_acceptance() -> None:
    goal = one(Kind.TRACK)
    spoken = spell_digits(goal.number, GROUPS)

    def ears(text: str) -> str:
        if text == spoken:
            return " ".join(reversed(text.replace(",", "").split()))
        return "yes" if text.startswith("no") else text

    outcome = TextCall(goal, ears).run()
    assert not outcome.reached
    assert outcome.wrong[0].startswith("parcel_status number=")


def test_numbers_that_are_never_understood_are_keyed_in() -> None:
    goal = one(Kind.CHANGE)
    digits = set(spell_digits(goal.number, GROUPS).split())

    def ears(text: str) -> str:
        return "" if set(text.split()) & digits else text

    assert TextCall(goal, ears).run().keyed
    assert TextCall(goal, ears).run().reached
    assert not TextCall(goal, ears, use_keys=False).run().reached


def test_a_wish_that_nobody_spoke_is_told() -> None:
    outcome = TextCall(one(Kind.HOURS), lambda text: "i want to speak to a person").run()
    assert not outcome.reached
    assert outcome.wrong == ("intent person",)


def test_a_caller_gives_up() -> None:
    caller = TaskCaller(one(Kind.TRACK), BOOK, seed=1)
    for _ in range(MOST_TURNS):
        caller.heard("How can I help you?")
        assert caller.reply().what is What.SAY
    caller.heard("How can I help you?")
    assert caller.reply().what is What.HANG_UP
    assert caller.gave_up


def test_a_caller_whom_nobody_has_asked_anything_says_what_the_call_is_about() -> None:
    goal = one(Kind.TRACK)
    said = TaskCaller(goal, BOOK, seed=1).prompt()
    assert (said.what, said.text) == (What.SAY, goal.openings[0])


def test_a_caller_waits_while_nothing_is_asked_and_then_says_it_again() -> None:
    caller = TaskCaller(one(Kind.HOURS), BOOK, seed=1)
    assert caller.reply().what is What.LISTEN
    caller.heard("How can I help you?")
    said = caller.reply()
    caller.heard("One moment please, I am looking that up.")
    assert caller.reply().what is What.LISTEN
    assert caller.prompt() == said


def test_an_answer_that_was_cut_is_no_success() -> None:
    call = TextCall(one(Kind.HOURS), hears_all)
    assert call.run().reached
    cut = [
        {**entry, "data": {**entry["data"], "heard": "Our parcel shops"}} if entry["data"].get("heard") else entry
        for entry in call.timeline
    ]
    told = Told(record={}, events=call.events, timeline=cut, tools=())
    assert (
        judge(call.goal, told, BOOK, asked=call.caller.asked, keyed=False).why == "the answer was not heard to its end"
    )


def test_a_tool_that_refused_is_no_success() -> None:
    call = TextCall(one(Kind.CHANGE), hears_all)
    call.run()
    tools = [replace(tool, result={"ok": False}) for tool in call.store.asked("call1")]
    told = Told(record={}, events=call.events, timeline=call.timeline, tools=tools)
    assert judge(call.goal, told, BOOK, asked=call.caller.asked, keyed=False).why == "change_delivery did not do it"


def test_a_call_without_an_end_in_the_books_is_no_success() -> None:
    told = Told(record={}, events=(), timeline=(), tools=())
    assert judge(one(Kind.HOURS), told, BOOK, asked=(), keyed=False).why == "the call has no end in the books"


def test_calls_that_nobody_answered_count_as_failures() -> None:
    found = [TextCall(goal, hears_all).run() for goal in goals(5)]
    assert task_figures(found, 10)["success"]["share"] == 0.5
    assert task_figures([], 0)["success"]["share"] is None


def test_goals_are_drawn_by_seed_with_numbers_that_check() -> None:
    drawn = goals(20)
    assert drawn == goals(20)
    assert drawn != draw_goals(SPEC, 20, seed=4)
    assert all(luhn(goal.number) and len(goal.number) == DIGITS for goal in drawn)
    assert len({goal.number for goal in drawn}) == 20
    counted = {kind: sum(goal.kind is kind for goal in drawn) for kind in Kind}
    assert counted == dict(SHARES)
    assert all(goal.day > TODAY and goal.day.weekday() != 6 for goal in drawn)


def test_every_way_to_say_a_day_means_that_day() -> None:
    for goal in goals(80):
        assert {read_date(said.split(), TODAY) for said in goal.days_said} == {goal.day}


def test_who_is_asked_again_says_it_in_other_words() -> None:
    caller = TaskCaller(one(Kind.CHANGE), BOOK, seed=1)
    for _ in range(3):
        caller.heard("On which day shall we bring it?")
        caller.reply()
    assert len(set(caller.said)) == 3


def test_lines_are_known_by_their_text() -> None:
    found = BOOK.find(
        "So I shall bring parcel one two three four, five six seven eight on Friday the fourth of December. Is that right?"
    )
    assert found is not None
    assert found.line == "state.change_confirm.say"
    assert found.values == ("one two three four, five six seven eight", "Friday the fourth of December")
    assert BOOK.find("I am a fish.") is None


def test_a_line_counts_as_heard_when_most_of_it_was() -> None:
    assert mostly_heard("What is your parcel number?", "What is your parcel")
    assert not mostly_heard("What is your parcel number?", "What is")


def test_the_dialogue_of_the_bench_checks_every_number(tmp_path: Path) -> None:
    spec = load_dialogue(checked_dialogue(tmp_path))
    assert {slot.check for slot in spec.slots.values() if slot.length} == {"luhn"}
    assert set(spec.states) == set(SPEC.states)


def test_the_customers_server_answers_as_the_parcels_stand() -> None:
    goal = one(Kind.CHANGE)
    store = TaskStore([goal])
    assert store.ask("a", "parcel_status", {"number": goal.number})["status"] == "in_transit"
    assert store.ask("a", "parcel_status", {"number": "1"}) == {"found": False}
    assert store.ask("a", "change_delivery", {"number": goal.number, "day": goal.day.isoformat()})["ok"] is True
    assert store.ask("b", "file_complaint", {"number": None, "text": ""})["ok"] is True
    assert store.asked("b") == [
        ToolCall("file_complaint", {"number": None, "text": ""}, {"ok": True, "ticket": "4711"})
    ]
