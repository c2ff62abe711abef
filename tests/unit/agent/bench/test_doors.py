"""The judgements of the bench of the doors: what differs, whose lateness it is, what missed its bar."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agent.bench.doors import missed
from agent.bench.doors_browser import figures, lag_ms
from agent.bench.doors_compare import Conversation, Tolerance, Utterance, conversation, differences
from agent.bench.doors_neighbours import Late, Window, moved_ms, split, spread
from agent.bench.witness import Evidence
from agent.simulator.recording import PacketTrack

HELLO = Utterance("Hello there.", "Hello there.", "played")
CUT = Utterance("one two three four five", "one two three", "yielded")


def entry(at_ms: int, kind: str, **data: Any) -> dict[str, Any]:
    return {"at_ms": at_ms, "kind": kind, "data": data}


def test_a_conversation_is_read_from_a_timeline() -> None:
    found = conversation(
        [
            entry(0, "leg", phase="answered", transport="sip"),
            entry(10, "utterance", phase="started", number=1, text="Hello there."),
            entry(10, "floor", before="open", after="agent"),
            entry(900, "utterance", phase="ended", number=1, heard="Hello there.", unheard="", why="played"),
            entry(901, "floor", before="agent", after="open"),
            entry(902, "floor", before="open", after="open"),
            entry(1000, "floor", before="open", after="caller"),
            entry(2900, "floor", before="caller", after="open"),
            entry(1000, "turn", phase="started", turn=1),
            entry(2000, "turn", phase="ended", turn=1, text="where is"),
            entry(2100, "turn", phase="reopened", turn=1),
            entry(2900, "turn", phase="ended", turn=1, text="where is my parcel"),
            entry(3000, "tool", name="status", ok=True, took_ms=3),
        ]
    )
    assert found == Conversation(
        turns=("where is my parcel",), floor=("agent", "open", "caller"), said=(HELLO,), tools=("status ok",)
    )


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"turns": ("other words",)}, "turns"),
        ({"floor": ("AGENT",)}, "floor"),
        ({"tools": ()}, "tools"),
        ({"said": (HELLO,)}, "said"),
        ({"said": (Utterance("Hello there.", "Hello", "played"), CUT)}, "heard"),
        ({"said": (HELLO, Utterance(CUT.text, "one", "yielded"))}, "heard"),
        ({"response_ms": (480.0,)}, "response_ms"),
        ({"response_ms": (None,)}, "response_ms"),
        ({"stop_ms": ()}, "stop_ms"),
    ],
)
def test_what_differs_is_named(change: dict[str, Any], part: str) -> None:
    same: dict[str, Any] = {
        "turns": ("a b",),
        "floor": ("AGENT", "OPEN"),
        "said": (HELLO, CUT),
        "tools": ("status ok",),
        "response_ms": (300.0,),
        "stop_ms": (700.0,),
    }
    (found,) = differences(Conversation(**same), Conversation(**{**same, **change}))
    assert found.startswith(f"{part}: ")


def test_within_the_tolerances_it_is_the_same() -> None:
    one = Conversation(turns=("a",), floor=(), said=(CUT,), tools=(), response_ms=(300.0, None), stop_ms=(700.0,))
    cut_later = Utterance(CUT.text, "one two three four", "yielded")
    other = Conversation(
        turns=("a",), floor=(), said=(cut_later,), tools=(), response_ms=(440.0, None), stop_ms=(810.0,)
    )
    assert differences(one, other) == []
    assert len(differences(one, other, Tolerance(heard_words=0, response_ms=100.0, stop_ms=100.0))) == 3


# --- neighbours ---


def packets(late_ms: dict[int, float], count: int = 300) -> PacketTrack:
    """A packet each 20 ms, some late."""
    at = np.arange(count) * 0.02
    at[list(late_ms)] += np.array(list(late_ms.values())) / 1000
    return PacketTrack(
        arrival_s=at,
        sequence=np.arange(count),
        timestamp=np.arange(count) * 160,
        marker=np.zeros(count, np.bool_),
        offset=np.arange(count) * 160,
        size=np.full(count, 160),
        data=np.zeros(count * 160, np.uint8),
    )


WINDOWS = [Window("alone", 100.0, 102.0, 0), Window("browsers", 102.0, 104.0, 4), Window("websockets", 104.0, 106.0, 4)]


def test_lateness_belongs_to_its_window() -> None:
    late = split(packets({50: 3.0, 150: 12.0}), 100.0, WINDOWS, Evidence())
    assert [round(float(one.wire_ms.max())) for one in late.values()] == [3, 12, 0]
    assert moved_ms(late["alone"], late["browsers"]) == pytest.approx(9.0)
    assert spread(late["browsers"])["ours_over_5_ms"] == 1


def test_what_a_witness_saw_is_the_host_s() -> None:
    """Packet 150 was due at 103.000 and came at 103.012; a processor was gone for 11 ms of that."""
    holes = [[], [(103.0005, 103.0115)]]
    late = split(packets({150: 12.0}), 100.0, WINDOWS, Evidence(holes=holes, is_realtime=True))
    assert float(late["browsers"].wire_ms.max()) == pytest.approx(12.0)
    assert float(late["browsers"].ours_ms.max()) == pytest.approx(1.0)
    blamed = split(packets({150: 12.0}), 100.0, WINDOWS, Evidence(holes=holes, is_realtime=False))
    assert float(blamed["browsers"].ours_ms.max()) == pytest.approx(12.0), "a witness that waits for us tells nothing"


def test_a_hole_elsewhere_excuses_nothing() -> None:
    seen = Evidence(holes=[[(101.0, 101.02)]], is_realtime=True)
    late = split(packets({150: 12.0}), 100.0, WINDOWS, seen)
    assert float(late["browsers"].ours_ms.max()) == pytest.approx(12.0)


def test_without_packets_nothing_is_said() -> None:
    empty = Late(np.zeros(0), np.zeros(0))
    assert spread(empty) == {"packets": 0}
    assert moved_ms(empty, empty) is None


# --- browser ---


def test_the_lag_is_where_it_is_alike() -> None:
    said = np.abs(np.random.default_rng(1).normal(size=5000))
    heard = np.concatenate((np.zeros(114), said))[:5000] + 0.1
    assert lag_ms(said, heard, at_ms=500) == 114.0
    assert lag_ms(said, np.random.default_rng(2).normal(size=5000), at_ms=500) is None
    assert lag_ms(said, heard, at_ms=4000) is None, "too near the end"


def test_medians_are_compared() -> None:
    assert figures([60.0, 64.0, 62.0], [114.0, 500.0, 110.0])["later_ms"] == 52.0
    assert figures([], [114.0])["later_ms"] is None


# --- bars ---


def measured(**changed: Any) -> dict[str, Any]:
    good: dict[str, Any] = {
        "browser": {"later_ms": 55.0},
        "twilio": {"later_ms": {"of_means": 90.0}, "twilio": {"heard": {"within_one": 1.0}}},
        "neighbours": {"moved_ms": {"browsers": 0.2, "websockets": -1.0}},
        "script": {"differences": {"live": []}},
    }
    return {**good, **changed}


def test_good_figures_miss_no_bar() -> None:
    assert missed(measured()) == []
    assert missed({"browser": {"later_ms": 60.0}}) == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"browser": {"later_ms": 61.0}}, "browser: later_ms 61.0, at most 60 wanted"),
        ({"browser": {"later_ms": None}}, "browser: later_ms not measured"),
        ({"browser": {"not_measured": "chromium is not installed"}}, "browser: chromium is not installed"),
        (
            {"twilio": {"later_ms": {"of_means": 121.0}, "twilio": {"heard": {"within_one": 0.99}}}},
            "twilio: later_ms.of_means 121.0, at most 120 wanted",
        ),
        (
            {"twilio": {"later_ms": {"of_means": 1.0}, "twilio": {"heard": {"within_one": 0.97}}}},
            "twilio: heard.within_one 0.97, at least 0.98 wanted",
        ),
        ({"neighbours": {"moved_ms": {"browsers": 5.1}}}, "neighbours: browsers 5.1, at most 5 wanted"),
        ({"script": {"differences": {"live": ["turns: a <> b"]}}}, "script: live: turns: a <> b"),
    ],
)
def test_each_bar_can_be_missed(changed: dict[str, Any], why: str) -> None:
    assert missed(measured(**changed)) == [why]
