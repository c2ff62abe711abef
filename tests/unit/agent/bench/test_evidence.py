from __future__ import annotations

import pytest

from agent.bench.duplex import match_controls
from agent.bench.evidence import AgentChannel, LoggedUtterance, ServiceLog, log_from_timeline
from agent.simulator.energy import Span
from agent.simulator.truth import EventType
from tests.unit.agent.bench.synthetic import call, event, spoken, turn


def said(start: float, end: float, whole: str, reason: str = "played") -> LoggedUtterance:
    return LoggedUtterance(start=start, end=end, text=whole, heard_words=3, reason=reason, whole=whole)


def test_the_same_words_of_a_control_run_are_the_control() -> None:
    """The control run answers 2 s later; at 1.5 s into the answer 4.5 s of it are left."""
    interrupt = event(EventType.INTERRUPT, 3.5, 4.0)
    log = ServiceLog(utterances=(said(2.1, 4.2, "we are open", "yielded"),))
    cut = call(spoken((2.0, 4.2)), interrupt, log=log)
    control = call(spoken((4.0, 10.0)), log=ServiceLog(utterances=(said(4.1, 10.0, "we are open"),)))
    found = match_controls(cut, [control])[interrupt.item]
    assert found.left_s == pytest.approx(4.5, abs=0.011)
    assert found.at == pytest.approx(5.5, abs=0.011)


def test_other_words_are_no_control() -> None:
    cut = call(spoken((2.0, 4.2)), event(EventType.TIC, 3.5, 4.0), log=ServiceLog(utterances=(said(2, 4, "a b"),)))
    control = call(spoken((4.0, 10.0)), log=ServiceLog(utterances=(said(4.1, 10.0, "we are open"),)))
    assert match_controls(cut, [control]) == {}


def test_the_services_timeline_becomes_a_log_on_the_callers_clock() -> None:
    entries = [
        {"at_ms": 1000, "kind": "utterance", "data": {"phase": "started", "number": 1, "text": "one two three"}},
        {"at_ms": 1500, "kind": "floor", "data": {"after": "agent"}},
        {
            "at_ms": 2000,
            "kind": "utterance",
            "data": {"phase": "ended", "number": 1, "heard": "one two", "unheard": "three", "why": "yielded"},
        },
        {"at_ms": 2100, "kind": "utterance", "data": {"phase": "ended", "number": 7, "heard": "", "why": "dropped"}},
        {"at_ms": 2200, "kind": "utterance", "data": None},
    ]
    (found,) = log_from_timeline(entries, offset_s=0.1).utterances
    assert (found.start, found.end) == pytest.approx((1.1, 2.1))
    assert (found.heard_words, found.reason, found.whole) == (2, "yielded", "one two three")


def test_a_backchannel_of_the_agent_is_short_and_listed() -> None:
    log = ServiceLog(utterances=(said(2.0, 2.4, "Mhm."), said(5.0, 5.4, "No.")), backchannels=frozenset({"mhm"}))
    agent = AgentChannel(spoken((2.0, 2.4), (5.0, 5.4)))
    assert [log.is_backchannel(segment) for segment in agent.segments] == [True, False]


def test_a_word_of_ours_that_we_listen_is_a_backchannel_and_no_answer() -> None:
    entries = [{"at_ms": 2000, "kind": "backchannel", "data": {"text": "I see."}}]
    log = log_from_timeline(entries, offset_s=0.1, backchannels=("I see",))
    assert log.is_backchannel(Span(2.15, 2.6))
    assert not log.is_backchannel(Span(4.0, 4.4))


def test_stopping_is_only_defined_while_speaking() -> None:
    agent = call(spoken((2.0, 4.0)), turn(0.5, 1.0)).agent
    assert agent.stop_after(1.0) is None
    assert agent.stop_after(3.0) == pytest.approx(4.0, abs=0.011)
