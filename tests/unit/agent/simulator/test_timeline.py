from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from agent.simulator.html import DECIDED, render_page
from agent.simulator.show import lanes, rows, show_timeline
from agent.simulator.timeline import Decided, Timeline, build_timeline
from agent.simulator.truth import EventType
from tests.unit.agent.bench.synthetic import event, spoken, turn

ENTRIES = [
    {"at_ms": 3500, "kind": "utterance", "data": {"phase": "started", "number": 1, "text": "We are <open> all day"}},
    {"at_ms": 3500, "kind": "floor", "data": {"before": "open", "after": "AGENT", "cause": "x", "why": "said so"}},
    {"at_ms": 3100, "kind": "turn", "data": {"phase": "ended", "text": "opening hours", "why": "score"}},
    {
        "at_ms": 6000,
        "kind": "utterance",
        "data": {"phase": "ended", "number": 1, "heard": "We are <open>", "unheard": "all day", "why": "yielded"},
    },
    {"at_ms": 6100, "kind": "resume", "data": {"why": "false_alarm"}},
    {"at_ms": 1, "kind": "odd", "data": None},
    {"at_ms": 6200, "kind": "tool", "data": {"name": "look_up"}},
]


@pytest.fixture
def timeline() -> Timeline:
    events = [turn(1.0, 3.0), event(EventType.INTERRUPT, 5.0, 5.8), event(EventType.BACKCHANNEL, 4.0, 4.3)]
    agent = spoken((3.5, 6.0), length_s=8.0)
    return build_timeline("c", events, agent, entries=ENTRIES)


def test_latencies_are_marked(timeline: Timeline) -> None:
    said, interrupt, backchannel = timeline.caller
    assert said.response_s == pytest.approx(0.5, abs=0.011)
    assert interrupt.stop_s == pytest.approx(1.0, abs=0.011)
    assert backchannel.over_agent
    assert backchannel.stop_s is None  # it stopped later than a second after the sound


def test_the_services_words_and_floor_are_merged(timeline: Timeline) -> None:
    assert timeline.lines[0].unheard == "all day"
    assert timeline.floor[0].state == "agent"
    assert timeline.turns[0].text == "opening hours"
    assert timeline.others == ((6.2, "tool: name look_up"),)


DECISIONS = [
    ("floor", {"before": "agent", "after": "overlap", "why": "speech 80 ms"}, Decided.DUCK, "speech 80 ms"),
    ("floor", {"before": "overlap", "after": "agent", "why": "score 0.90"}, Decided.RESTORE, "score 0.90"),
    ("floor", {"before": "overlap", "after": "yielding", "why": "speech 760 ms"}, Decided.YIELD, "speech 760 ms"),
    ("floor", {"before": "agent", "after": "yielding", "why": "score 0.90"}, Decided.YIELD, "score 0.90"),
    ("floor", {"before": "caller", "after": "open", "why": "complete"}, None, ""),
    ("resume", {"why": "false_alarm"}, Decided.RESUME, "false alarm"),
    ("prepared", {"phase": "begun", "text": "I have <one>"}, Decided.PREPARED, "I have <one>"),
    ("prepared", {"phase": "used", "text": "I have"}, Decided.SAID, "I have"),
    ("prepared", {"phase": "dropped", "text": "I have"}, Decided.THROWN_AWAY, "I have"),
    ("backchannel", {"text": "I see."}, Decided.BACKCHANNEL, "I see."),
    ("interruption", {"turn": 2, "why": "too_many_digits"}, Decided.INTERRUPTION, "too many digits"),
]


@pytest.mark.parametrize(("kind", "data", "what", "why"), DECISIONS)
def test_each_decision_about_our_voice_is_marked(
    kind: str, data: dict[str, str], what: Decided | None, why: str
) -> None:
    entries = [{"at_ms": 1500, "kind": kind, "data": data}]
    found = build_timeline("c", [], spoken(length_s=3.0), entries=entries, offset_s=0.5)
    assert [(one.at, one.what, one.why) for one in found.decisions] == ([(2.0, what, why)] if what else [])


def test_turn_that_was_interrupted_politely_is_not_told_as_unanswered() -> None:
    entries = [{"at_ms": 2000, "kind": "interruption", "data": {"turn": 1, "why": "too_many_digits"}}]
    found = build_timeline("c", [turn(1.0, 3.0)], spoken((2.1, 4.0), length_s=5.0), entries=entries)
    (mark,) = found.caller
    assert mark.interrupted
    page = render_page(found, spoken((1.0, 3.0)), spoken((2.1, 4.0), length_s=5.0), title="t", facts={})
    assert "interrupted politely" in page
    assert "no answer" not in page
    assert "interrupts politely" in [agent.plain for _, _, agent in rows(found)]


def test_every_decision_has_a_sign_on_the_page_and_a_row() -> None:
    entries = [{"at_ms": 1500, "kind": kind, "data": data} for kind, data, _, _ in DECISIONS]
    timeline = build_timeline("c", [], spoken(length_s=3.0), entries=entries)
    page = render_page(timeline, spoken(length_s=3.0), spoken(length_s=3.0), title="t", facts={"ears": "small"})
    assert set(DECIDED) == set(Decided)
    for what, (sign, _) in DECIDED.items():
        assert f">{sign}<title>{what}: " in page
        assert f"{sign}</b> {what}" in page
    assert "I have &lt;one&gt;" in page
    assert "ears small" in page
    console = Console(record=True, width=100, file=io.StringIO())
    show_timeline(timeline, console)
    assert "polite interruption: too many digits" in console.export_text()


def test_the_terminal_shows_two_lanes_and_all_rows(timeline: Timeline) -> None:
    text = lanes(timeline, 40)
    assert len(text.plain.splitlines()) == 2
    assert len(rows(timeline)) == 7
    console = Console(record=True, width=100, file=io.StringIO())
    show_timeline(timeline, console)
    assert "answers after 500 ms" in console.export_text()


def test_the_page_is_whole_and_loads_nothing(timeline: Timeline) -> None:
    page = render_page(
        timeline, spoken((1.0, 3.0), length_s=8.0), spoken((3.5, 6.0)), title="A <call>", facts={"a": "b"}
    )
    assert "<open>" not in page
    assert "&lt;open&gt;" in page
    assert "<del>all day</del>" in page
    assert "A &lt;call&gt;" in page
    assert 'src="data:audio/wav;base64,' in page
    assert not re.search(r"(src|href)=\"https?:|url\(", page)
    assert 'name="viewport"' in page


def test_an_empty_call_is_a_page_too() -> None:
    empty = build_timeline("c", [], spoken(length_s=0.0))
    assert "<svg" in render_page(empty, spoken(length_s=0.0), spoken(length_s=0.0), title="t", facts={})
