"""Previews, reopened turns, closed iterators, late results: the contract of ``Conversation``."""

from __future__ import annotations

import contextlib

from agent.brain.flow.conversation import FlowConversation
from agent.brain.protocol import Say, Tool, ToolResult, Transfer
from tests.unit.agent.brain.talk import Reply, Talk, brain_of, drain, parcel

CHANGED = {"ok": True, "day": "2026-11-27"}


def state_of(talk: Talk) -> object:
    assert isinstance(talk.conversation, FlowConversation)
    return talk.conversation.state


def at_agreement() -> Talk:
    talk = parcel()
    talk.say("where is my parcel")
    talk.say("one two three four five six seven eight")
    return talk


def test_a_preview_is_what_the_turn_then_does() -> None:
    talk = at_agreement()
    before = state_of(talk)
    talk.turns += 1
    preview = talk.conversation.preview(talk.as_turn("yes"))
    assert state_of(talk) == before
    assert tuple(preview or ()) == drain(talk.conversation.turn(talk.as_turn("yes")))


def test_nothing_is_known_early_without_words() -> None:
    talk = parcel()
    assert talk.conversation.preview(talk.as_turn("")) is None


def test_a_reopened_turn_takes_its_change_back() -> None:
    talk = at_agreement()
    before = state_of(talk)
    talk.say("no the last one is nine")
    talk.conversation.reopened(talk.turns)
    assert state_of(talk) == before


def test_another_turn_than_the_last_is_not_taken_back() -> None:
    talk = at_agreement()
    talk.say("no the last one is nine")
    after = state_of(talk)
    talk.conversation.reopened(talk.turns - 1)
    talk.conversation.reopened(99)
    assert state_of(talk) == after


def test_a_tool_asked_in_a_reopened_turn_is_not_asked_twice() -> None:
    talk = at_agreement()
    tool = talk.say("yes").tools[0]
    talk.conversation.reopened(talk.turns)
    talk.turns -= 1  # the same turn ends again, with more words
    again = talk.say("yes that is right")
    assert again.tools == []
    assert "delivered" in talk.result(tool, {"status": "delivered", "day": "2026-11-23", "place": "here"}).text


def test_a_result_that_came_while_the_turn_was_open_again_is_used_at_once() -> None:
    talk = at_agreement()
    tool = talk.say("yes").tools[0]
    talk.conversation.reopened(talk.turns)
    assert talk.result(tool, {"status": "in_transit", "day": "2026-11-27"}).text == ""
    talk.turns -= 1
    again = talk.say("yes please")
    assert again.tools == []
    assert "on its way" in again.text


def test_the_same_question_in_a_later_turn_is_a_new_request() -> None:
    talk = at_agreement()
    first = talk.say("yes").tools[0]
    talk.result(first, {"found": False})
    talk.say("one two three four five six seven eight")
    assert talk.say("yes").tools[0].request_id != first.request_id


def test_a_result_that_comes_twice_or_from_nowhere_is_ignored() -> None:
    talk = at_agreement()
    tool = talk.say("yes").tools[0]
    talk.result(tool, {"status": "delivered", "day": "2026-11-23", "place": "here"})
    assert talk.result(tool, {"status": "delivered"}).text == ""
    unknown = ToolResult(request_id="x", ok=True, value={})
    assert talk.take(talk.conversation.tool_result(unknown)).text == ""


def booked_and_gone() -> tuple[Talk, Tool]:
    """The change was asked for, and the caller asks for a person before it is done."""
    talk = at_agreement()
    talk.result(talk.say("yes").tools[0], {"status": "in_transit", "day": "2026-11-27"})
    talk.say("change the delivery day")
    talk.say("friday")
    tool = talk.say("yes").tools[0]
    assert isinstance(talk.say("I want to talk to a person").ending, Transfer)
    return talk, tool


def test_what_was_changed_is_told_even_if_the_caller_has_moved_on() -> None:
    talk, tool = booked_and_gone()
    assert talk.result(tool, CHANGED).text == ""
    reply = talk.take(talk.conversation.transfer_failed(486, "Busy"))
    assert "about your earlier request. Done. Your parcel will come on Friday" in reply.text


def test_what_was_only_looked_up_is_not_told_to_a_caller_who_has_moved_on() -> None:
    talk = at_agreement()
    tool = talk.say("yes").tools[0]
    talk.say("operator")
    talk.result(tool, {"status": "in_transit", "day": "2026-11-27"})
    reply = talk.take(talk.conversation.transfer_failed(486, "Busy"))
    assert "on its way" not in reply.text


def take_one(talk: Talk, text: str, count: int) -> list[object]:
    """The first ``count`` actions of a turn; the rest is never asked for."""
    talk.turns += 1
    iterator = talk.conversation.turn(talk.as_turn(text))
    taken: list[object] = []
    for _ in range(count):
        try:
            iterator.__anext__().__await__().send(None)
        except StopIteration as one:
            taken.append(one.value)
    with contextlib.suppress(StopIteration):
        iterator.aclose().__await__().send(None)  # type: ignore[attr-defined]
    return taken


def test_a_tool_that_nobody_took_was_not_asked() -> None:
    talk = at_agreement()
    before = talk.conversation
    assert not any(isinstance(action, Tool) for action in take_one(talk, "yes", 1))
    assert isinstance(before, FlowConversation)
    assert not before.state.waiting
    assert talk.say("yes").tools, "the question is still open"


def test_words_that_nobody_took_can_be_gone_on_with() -> None:
    talk = parcel()
    taken = take_one(talk, "what are your opening hours", 2)
    assert not any(isinstance(action, Say) for action in taken)
    assert "Monday to Friday" in Reply(tuple(talk.conversation.resume())).text


def test_a_filler_that_was_cut_is_no_answer_to_go_on_with() -> None:
    talk = at_agreement()
    talk.say("yes")
    talk.conversation.interrupted("One moment", "please, I am looking that up.")
    assert talk.conversation.resume() == ()


def test_an_answer_taken_back_leaves_no_rest() -> None:
    talk = parcel()
    reply = talk.take(talk.conversation.turn(talk.as_turn("what are your opening hours")), cut=0)
    talk.conversation.reopened(talk.turns)
    talk.conversation.interrupted("Our parcel shops", reply.text.removeprefix("Our parcel shops "))
    assert talk.conversation.resume() == ()


def test_resume_says_the_rest_once() -> None:
    talk = parcel()
    talk.say("what are your opening hours", cut=20)
    assert talk.conversation.resume()
    assert talk.conversation.resume() == ()


def test_today_may_come_from_the_back_end() -> None:
    text = """
dialogue: days
disclosure: I am a computer.
start: ask
slots: { day: { kind: date, prompt: "Which day?" } }
states:
  ask: { ask: day, then: end }
  end: { say: "{day}.", hangup: done }
"""
    assert (
        Talk(brain_of(text), variables={"today": "2027-01-01"}).say("tomorrow").text.startswith("Saturday the second")
    )
    assert Talk(brain_of(text), variables={"today": "rubbish"}).say("tomorrow").text.startswith("Thursday")


def test_a_yes_no_slot_and_a_question_without_values() -> None:
    text = """
dialogue: small
disclosure: I am a computer.
start: ask
slots: { home: { kind: yes_no, prompt: "Are you at home?" } }
states:
  ask: { ask: home, then: sure }
  sure: { confirm: "Shall we come at once then?", yes: end, no: ask }
  end: { say: "We come: {home}.", hangup: done }
"""
    talk = Talk(brain_of(text))
    assert talk.say("yes I am").text == "Shall we come at once then?"
    assert talk.say("no").text == "Are you at home?"
    talk.take(talk.conversation.dtmf("2"), cut=1)
    assert "once more" in talk.say("yes").text
    assert talk.say("yes").text == "We come: no."
