from __future__ import annotations

import os

import numpy as np
import pytest

from agent.bench.conversations import OVERLAPS, chat_script
from agent.bench.evidence import LoggedUtterance, ServiceLog
from agent.bench.load import load_figures, spoken_lengths
from agent.bench.machine import children, machine_facts, part_of, process_cost, service_cost
from agent.simulator.caller import CallResult
from agent.simulator.line import Pacing
from agent.simulator.network import CLEAN
from agent.simulator.phone import PhoneBook
from agent.simulator.script import Sound
from agent.simulator.truth import EventType, TruthEvent
from tests.unit.agent.bench.synthetic import call, event, spoken, turn
from tests.unit.agent.simulator.packets import track


def result(name: str, *events: TruthEvent, agent: np.ndarray, by: str = "caller", bye: int | None = 200) -> CallResult:
    return CallResult(
        call=name,
        book=PhoneBook(status=200, ended_by=by, reason="hangup", bye_status=bye),
        events=list(events),
        notes=[],
        caller=spoken(length_s=20.0),
        agent=agent,
        track=track(count=1000),
        pacing=Pacing(packets=1000),
        seed=1,
        network=CLEAN,
        exact_arrivals=True,
    )


def test_load_figures_have_the_promised_names() -> None:
    figures = load_figures([result("a", turn(1.0, 3.0), agent=spoken((3.5, 6.0))), None], {}, 2)
    assert (figures["calls"], figures["answered"], figures["failed"], figures["lost"]) == (2, 1, 1, 0)
    assert figures["on_time"] == 1.0
    assert figures["response_ms"]["n"] == 1
    assert figures["response_ms"]["p50"] == pytest.approx(500, abs=6)
    assert set(figures["selectivity"]) == {"backchannel", "tic", "side_talk", "noise"}
    assert figures["rtp"] == {"sent": 1000, "received": 1000, "lost": 0}
    for name in ("pause_takeover", "yield_ms", "duck_ms"):
        assert name in figures


def test_a_call_that_the_agent_ended_or_whose_bye_was_not_answered_is_lost() -> None:
    quiet = spoken()
    calls = [result("a", agent=quiet, by="agent"), result("b", agent=quiet, bye=None), result("c", agent=quiet)]
    assert load_figures(calls, {}, 3)["lost"] == 2


def test_controls_come_from_answers_that_were_said_to_their_end() -> None:
    """A sentence takes 5 s where nobody disturbs it; another caller stops it after 1.5 s."""

    def said(start: float, end: float, why: str) -> ServiceLog:
        told = LoggedUtterance(start=start, end=end, text="a b", heard_words=2, reason=why, whole="a b c")
        return ServiceLog(utterances=(told,))

    whole = result("whole", agent=spoken((4.0, 9.0)))
    stopped = result("cut", event(EventType.INTERRUPT, 5.0, 6.0), agent=spoken((4.0, 5.5)))
    logs = {"whole": said(4.0, 9.0, "played"), "cut": said(4.0, 5.5, "yielded")}
    figures = load_figures([whole, stopped], logs, 2)
    assert figures["yield_ms"]["n"] == 1
    assert figures["yield_ms"]["p50"] == pytest.approx(500, abs=6)


def test_lengths_are_medians_of_whole_utterances() -> None:
    told = [
        LoggedUtterance(start=0, end=seconds, text="a", heard_words=1, reason="played", whole="a")
        for seconds in (2.0, 2.1, 9.0)
    ]
    found = spoken_lengths([call(spoken(), log=ServiceLog(utterances=tuple(told)))])
    assert found == {"a": 2.1}


def test_a_chat_script_has_every_kind_of_sound_and_repeats_itself() -> None:
    script = chat_script("x", seed=4, seconds=60)
    kinds = {step.type for step in script.steps if isinstance(step, Sound)}
    assert kinds == {EventType.TURN, *OVERLAPS}
    assert script == chat_script("x", seed=4, seconds=60)
    assert script != chat_script("x", seed=5, seconds=60)


def test_the_machine_and_this_process_have_figures() -> None:
    assert machine_facts()["cores"] >= 1
    own = process_cost(os.getpid())
    assert own is not None
    assert own.rss_mb > 1
    assert process_cost(2**22 + 1) is None
    assert isinstance(children(os.getpid()), list)
    assert service_cost([{"name": "worker1", "pid": os.getpid()}]).cpu_s["worker"] > 0


@pytest.mark.parametrize(
    ("name", "part"),
    [("front", "gateway"), ("edge", "gateway"), ("worker1", "worker"), ("spare2", "worker"), ("voice1", "voice")],
)
def test_processes_belong_to_a_part_of_the_bill(name: str, part: str) -> None:
    assert part_of(name) == part
