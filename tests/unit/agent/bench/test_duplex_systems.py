"""Curves, table and picture from records whose answers are known by construction."""

from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from agent.bench.baselines import HeardCall, overlap_figures
from agent.bench.conversations import STATEMENTS
from agent.bench.decisions import Judged, Trace, latency_at, turn_figures
from agent.bench.duplex_callers import callers
from agent.bench.duplex_people import PAUSES_S, STRINGS, people
from agent.bench.duplex_picture import picture
from agent.bench.duplex_replay import replay
from agent.bench.duplex_scripts import PROFILES
from agent.bench.duplex_systems import SYSTEMS, live_of, menu, rendered_curves
from agent.bench.duplex_table import EQUAL, equal_takeover, table
from agent.bench.figures import conversation_figures
from agent.bench.inline_recogniser import InlineRecogniser
from agent.bench.smart_turn import Heard, Stop
from agent.commands.bench import DUPLEX_SYSTEMS
from agent.commands.bench_overlaps import PROFILES as LINES
from agent.expectation import Expect, ExpectKind
from agent.model.parts.ears import Ears
from agent.model.parts.engine import Guess
from agent.model.parts.recogniser import Mode, NoRecogniser
from agent.simulator.render import Renderer
from agent.simulator.truth import EventType
from tests.unit.agent.bench.synthetic import call, event, spoken, turn

HOLD = event(EventType.HOLD, 2.0, 2.8)
SAID = call(spoken(), turn(1.0, 4.0), HOLD)


@pytest.mark.parametrize(
    ("at", "taken", "p50"), [((4.3,), 0.0, 300.0), ((2.5, 4.3), 1.0, None), ((2.9, 4.3), 1.0, None), ((), 0.0, None)]
)
def test_a_controller_is_judged_by_when_it_calls_a_turn_over(
    at: tuple[float, ...], taken: float, p50: float | None
) -> None:
    figures = turn_figures([Judged(SAID, at)])
    assert (figures["pause_takeover"], figures["response_ms"]["p50"]) == (taken, p50)
    assert figures["pauses"]["n"] == 1


def test_ears_end_a_turn_once_in_a_silence_when_the_score_has_held() -> None:
    p_end = np.zeros(200, np.float32)
    p_speech = np.zeros(200, np.float32)
    p_speech[:50] = 0.9
    p_end[40:45], p_end[60:100], p_end[120] = 0.9, 0.6, 0.9
    found = Trace(p_end, p_speech)
    assert found.ends(0.5) == (1.24, 3.5), "not while they speak, not for one step; and the backstop"
    assert found.ends(0.7) == (3.5,)


def test_a_patient_setting_is_compared_at_the_takeover_that_it_has() -> None:
    points = [
        {"setting": str(n), "pause_takeover": share, "response_ms": {"p50": p50}}
        for n, (share, p50) in enumerate([(0.3, 200.0), (0.1, 400.0), (0.02, 900.0), (0.0, None)])
    ]
    assert [latency_at(points, share) for share in EQUAL] == [900.0, 400.0, 400.0]
    assert equal_takeover({"a": points})["a"] == {"0.05": 900.0, "0.1": 400.0, "0.2": 400.0}
    assert latency_at(points[:1], 0.1) is None


def test_pipecat_ends_a_turn_by_its_model_or_after_three_seconds() -> None:
    heard = Heard((1.2, 3.0), (Stop(2.2, 0.4, 3.0), Stop(4.2, 0.9, None)))
    assert heard.ends(0.5) == (4.2,), "resumed before the three seconds were over"
    assert heard.ends(0.3) == (2.2, 4.2)
    assert heard.ends(0.95) == (7.0,)


def test_yields_of_a_controller_count_within_two_seconds() -> None:
    interrupt, cough = event(EventType.INTERRUPT, 3.0, 4.0), event(EventType.TIC, 6.0, 6.4)
    heard = HeardCall(call(spoken((1.0, 12.0)), interrupt, cough, left=5.0), spoken((3.0, 4.0)))
    figures = overlap_figures([heard], lambda _call, one: 3.3 if one is interrupt else None)
    assert (figures["yield_ms"]["yr2"], figures["selectivity"]) == (1.0, {"tic": 1.0})


def test_a_replay_gives_every_call_to_the_ears_in_the_time_of_its_audio() -> None:
    rng = np.random.default_rng(1)
    noise = (rng.standard_normal(4000) * 20).astype(np.int16)
    calls = [HeardCall(replace(SAID, call=name), noise[:size]) for name, size in (("a", 4000), ("b", 3000))]
    traces = replay(calls, Ears(2, NoRecogniser()), [menu()] * 2)
    assert [len(trace.p_end) for trace in traces] == [25, 19]
    assert all(trace.ends(0.5) == () for trace in traces)


class Counting:
    """An engine that says how much it has heard."""

    def open(self, expect: Expect, mode: Mode) -> Counting:
        self.heard = 0
        return self

    def feed(self, pcm: np.ndarray) -> None:
        self.heard += len(pcm)

    def partial(self) -> Guess:
        return Guess((str(self.heard),), 1.0)

    finish = partial

    def drop(self) -> None:
        return

    def foresee(self, expect: Expect, mode: Mode) -> None:
        return

    def prepare(self) -> bool:
        return False


def test_an_inline_recogniser_tells_words_after_its_lag_and_nothing_of_what_was_dropped() -> None:
    recogniser = InlineRecogniser(Counting())
    number = recogniser.start(0, menu(), Mode.ANSWER)
    told = []
    for _ in range(6):
        recogniser.feed(0, np.zeros(160, np.int16))
        told += [(one.words, one.final, one.samples) for one in recogniser.poll()]
    assert told == [], "the first partial hypothesis needs 800 samples and two steps"
    recogniser.stop(0)
    recogniser.feed(0, np.zeros(160, np.int16))
    for _ in range(3):
        told += [(one.words, one.final, one.utterance) for one in recogniser.poll()]
    assert told == [(("960",), False, number), (("960",), True, number)]
    recogniser.start(0, menu(), Mode.ANSWER)
    recogniser.cancel(0)
    assert [*recogniser.poll(), *recogniser.poll(), *recogniser.poll()] == []


def test_table_and_picture_show_every_system() -> None:
    points = [
        {"setting": "0.5", "pause_takeover": share, "response_ms": {"p50": p50, "p95": 900.0, "n": 9}}
        for share, p50 in ((0.0, 700.0), (0.08, 350.0), (0.5, None))
    ]
    live: dict[str, Any] = {"how": "live", "profiles": {"clean": {**conversation_figures([SAID]), "void_calls": 1}}}
    curves = dict.fromkeys(SYSTEMS, points)
    figures = {
        "systems": {"small": live, "parts": live, "pipecat": {"how": "missing", "why": "needs <pipecat>"}},
        "curves": {"phrases": {"turns": 9, "equal_takeover": equal_takeover(curves)}},
    }
    lines = table(figures).splitlines()
    assert len({line.count("|") for line in lines[:5]}) == 1, "every row has all columns"
    assert "| pipecat | not measured: needs <pipecat> |" in lines[4]
    assert "| small | 700 | 350 | 350 |" in lines
    svg = ET.fromstring(picture(curves, title="a < b"))
    drawn = [one for one in svg.iter() if one.tag.endswith("polyline")]
    assert len(drawn) == len(SYSTEMS)
    assert picture({}, title="nothing").startswith("<svg")


def test_the_command_knows_the_systems_and_one_always_answers() -> None:
    assert DUPLEX_SYSTEMS == SYSTEMS
    assert tuple(profile.name for profile in PROFILES) == LINES
    assert live_of(["timer"]) == ["parts"]
    assert live_of(["pipecat", "small"]) == ["small"]


def test_recorded_people_get_pauses_that_are_known(tmp_path: Path) -> None:
    clips = [("s.wav", "sentence", "s1", "here"), ("cut.wav", "sentence", "s1", "LibriSpeech train")]
    clips += [(f"d{n}.wav", "digit", "s2", "here") for n in range(10)]
    lines = ["path,split,kind,text,speaker,source"]
    for name, kind, speaker, source in clips:
        length_s = 0.3 if kind == "digit" else 1.5
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(spoken((0.0, length_s), length_s=length_s).astype("<i2").tobytes())
        lines.append(f"{name},dev,{kind},words,{speaker},{source}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    found = people(tmp_path, seed=1)
    sentences = [one for one in found if one.expect.kind is ExpectKind.FREE]
    assert [len(one.heard.call.of(EventType.HOLD)) for one in sentences] == [0, 1, 1], "readings cut short are left out"
    digits = [one for one in found if one.expect.kind is ExpectKind.DIGITS]
    assert len(digits) == STRINGS
    for one in (*digits, *sentences):
        (turn_,) = one.heard.call.of(EventType.TURN)
        for hold in one.heard.call.of(EventType.HOLD):
            assert turn_.start < hold.start < hold.end < turn_.end
            assert min(abs(hold.end - hold.start - pause) for pause in PAUSES_S) < 0.08
    drawn = rendered_curves(sentences, ["parts", "timer"])
    assert set(drawn) == {"parts, no words", "timer"}
    patient = drawn["timer"][-1]
    assert (patient["pause_takeover"], patient["response_ms"]["n"]) == (0.0, 3)
    assert people(tmp_path, seed=1)[1].heard.call.events == found[1].heard.call.events


def test_rendered_callers_say_every_text_whole_and_paused() -> None:
    voices = Renderer().voices()[:1]
    assert menu().digits == 8, "what a call waits for, not a part of it"
    found = callers(voices, menu(), seed=1, known=False)
    assert len(found) == 2 * len(STATEMENTS)
    assert [len(one.heard.call.of(EventType.HOLD)) for one in found] == [0, 1] * len(STATEMENTS)
    assert {one.expect for one in found} == {menu()}
    again = callers(voices, menu(), seed=1, known=False)
    assert [one.heard.call.call for one in found] == [one.heard.call.call for one in again]
