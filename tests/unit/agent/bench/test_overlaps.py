"""Sounds over our voice in virtual time: known ears give known figures, and the machine's load gives none."""

from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.bench import metrics, overlaps
from agent.bench.duplex_scripts import PROFILES
from agent.bench.evidence import AgentChannel
from agent.bench.overlaps import caller_of, gone_on, run_overlaps, undisturbed
from agent.bench.overlaps_answer import Answer
from agent.bench.overlaps_ears import ManyDecoders
from agent.bench.overlaps_engine import LEAD_FRAMES, Caller, Stage
from agent.bench.overlaps_events import KINDS, LONGEST_S, Overlap, Recorded, draw, takes_the_floor
from agent.bench.overlaps_figures import HEAD, evidence, overlap_figures, table
from agent.bench.overlaps_wire import AGENT_FRAMES
from agent.cli import main
from agent.commands import bench_overlaps
from agent.expectation import NOTHING_KNOWN, Expect
from agent.model.fakes import EnergyEars
from agent.model.parts.engine import Guess
from agent.model.parts.recogniser import Mode
from agent.model.protocol import DuplexModel, StepInput, StepOutput
from agent.scheduler.floor.profile import FloorProfile
from agent.simulator.clips import clip_of, scaled
from agent.simulator.energy import FRAME_S, Pcm
from agent.simulator.network import NetworkProfile
from agent.simulator.render import Renderer
from agent.simulator.script import Script
from agent.simulator.truth import EventType
from agent.voice.protocol import SpeechChunk, WordSpan
from tests.unit.agent.bench.synthetic import babbled, spoken

CLEAN, LOSSY, BABBLE, ECHO = PROFILES
FRAME = 160
SEED = 7


def answer(length_s: float = 6.0) -> Answer:
    """Noise that never pauses: where it stops is known to a frame."""
    pcm = babbled([(0.0, length_s, 12_000.0)], length_s=length_s)
    words = tuple(WordSpan(text=f"w{k}", start=k * 1600, end=(k + 1) * 1600) for k in range(len(pcm) // 1600))
    return Answer((SpeechChunk(pcm, words, True),), NOTHING_KNOWN, "test")


class Scripted(EnergyEars):
    """Ears that take the floor in step ``at``, whatever they hear, and remember what they have heard."""

    def __init__(self, rows: int, at: int = -1) -> None:
        super().__init__(rows)
        self.at, self.steps = at, 0
        self.heard: list[NDArray[np.int16]] = []
        self.lost: list[NDArray[np.bool_]] = []

    def step(self, inputs: StepInput) -> StepOutput:
        if inputs.reset.any():
            self.steps = 0
            self.heard, self.lost = [], []
        out = super().step(inputs)
        self.heard.append(inputs.pcm.copy())
        self.lost.append(inputs.lost.copy())
        taken = self.steps == self.at
        out.p_speech[:], out.p_take[:], out.p_backchannel[:] = float(taken), float(taken), 0.0
        self.steps += 1
        return out


def stage(model: DuplexModel, rows: int = 1, length_s: float = 6.0) -> Stage:
    return Stage(model, rows=rows, profile=FloorProfile(), answer=answer(length_s))


def overlap(kind: EventType, at_s: float, length_s: float = 0.6) -> Overlap:
    clip = clip_of(spoken((0.0, length_s), length_s=length_s))
    return Overlap(f"{kind}0", kind, clip, round(at_s * 50), "stop", Script(name="x", steps=()))


def run_one(model: Scripted, one: Overlap, line: Any = CLEAN) -> tuple[Pcm, AgentChannel]:
    at, model.at = model.at, -1
    on = stage(model)
    control = undisturbed(on)
    model.at = at
    (agent,) = on.run([caller_of(one, line, on.frames)])
    return agent, control


@pytest.mark.parametrize("taken_at", [350, 373])
def test_ears_that_take_the_floor_at_a_known_time_give_exactly_that_yield(taken_at: int) -> None:
    one = overlap(EventType.INTERRUPT, 6.5)
    agent, control = run_one(Scripted(1, taken_at), one)
    (found,) = metrics.yields([evidence(one.event, AgentChannel(agent), control)])
    cut_at = (taken_at + AGENT_FRAMES) * 0.02  # behind it are 5 ms of fading
    assert found.yield_s == pytest.approx(cut_at + FRAME_S - one.event.start, abs=1e-6)


def test_a_wrong_stop_counts_against_a_cough_and_none_for_it() -> None:
    one = overlap(EventType.TIC, 6.5)
    stopped, control = run_one(Scripted(1, 350), one)
    for agent, right in ((stopped, 0.0), (control.pcm, 1.0)):
        figures = overlap_figures([evidence(one.event, AgentChannel(agent), control)])
        assert (figures["selectivity"]["tic"]["share"], figures["judged"]) == (right, 1)


def test_an_agent_that_was_silent_already_is_not_judged() -> None:
    one = overlap(EventType.NOISE, 7.0)
    agent, control = run_one(Scripted(1, 300), one)
    figures = overlap_figures([evidence(one.event, AgentChannel(agent), control)])
    assert (figures["judged"], figures["silent_before"]) == (0, 1)


@pytest.mark.parametrize(("stopped_at", "ends"), [(8.0, 8.0), (11.4, 11.4), (20.0, 20.0)])
def test_a_call_that_was_watched_long_enough_ends_as_it_would(stopped_at: float, ends: float) -> None:
    control = AgentChannel(babbled([(1.0, 20.0, 9000.0)], length_s=21.0))
    watched = babbled([(1.0, stopped_at, 9000.0)], length_s=21.0)[: 12 * 8000]
    whole = AgentChannel(gone_on(watched, control))
    assert len(whole.pcm) == len(control.pcm)
    assert whole.stop_after(5.0) == pytest.approx(ends, abs=0.02)


def test_nobody_speaking_gives_no_stop() -> None:
    on = stage(EnergyEars(3), rows=3)
    for agent in on.run([Caller(np.zeros(0, np.int16))] * 3):
        (said,) = AgentChannel(agent).utterances
        assert said.start == pytest.approx((LEAD_FRAMES + AGENT_FRAMES) * 0.02, abs=FRAME_S)
        assert said.length == pytest.approx(6.0, abs=0.03)


def test_an_echo_comes_back_at_its_level_and_delay() -> None:
    """A second caller sends by hand what the first one's echo must be: the ears hear the same of both."""
    model = Scripted(2)
    on = stage(model, rows=2, length_s=3.0)
    (agent, _) = on.run([Caller(np.zeros(0, np.int16))] * 2)
    back = np.concatenate([np.zeros(1200, np.int16), scaled(agent, -30.0)])
    on.run([Caller(np.zeros(0, np.int16), echo_db=-30.0, echo_delay_ms=150), Caller(back)])
    heard = np.stack(model.heard)
    assert np.abs(heard[:, 0]).max() > 100
    np.testing.assert_array_equal(heard[:, 0], heard[:, 1])


def test_our_voice_is_lost_and_theirs_concealed_on_a_lossy_line() -> None:
    model = Scripted(1)
    on = stage(model)
    hum = np.resize(spoken((0.0, 1.0), length_s=1.0), 10 * 8000)
    (agent,) = on.run([Caller(hum, network=replace(LOSSY.network, seed=3))])
    lost = sum(row.any() for row in model.lost)
    assert 2 <= lost <= 35, "2 % of 540 packets"
    assert np.abs(np.stack(model.heard)[250:495]).max(axis=(1, 2)).min() > 500, "what was lost was concealed"
    gone = np.abs(agent.reshape(-1, FRAME)[250:490]).max(axis=1) == 0
    assert 1 <= gone.sum() <= 20
    assert len(AgentChannel(agent).utterances) == 1


def test_one_calls_audio_is_delayed_by_the_playout_buffer_alone() -> None:
    model = Scripted(1)
    on = stage(model, length_s=3.0)
    click = np.zeros(4 * 8000, np.int16)
    click[16_000:16_160] = 8000
    on.run([Caller(click, network=NetworkProfile())])
    line = np.concatenate([pcm[0] for pcm in model.heard])
    behind_ms = (int(np.flatnonzero(np.abs(line) > 4000)[0]) - 16_000) / 8
    assert 10 + behind_ms == 20, "10 ms to the edge's tick, and what the buffer keeps at least"


def test_a_fixed_seed_gives_the_same_figures_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlaps, "VOICES", 1)
    renderer = Renderer()

    def once(seed: int = SEED) -> list[dict[str, Any]]:
        found = run_overlaps(
            answer(),
            events=1,
            systems=["energy"],
            lines=[LOSSY],
            seed=seed,
            rows=5,
            make_ears=lambda _system, rows, _weights: EnergyEars(rows),
            renderer=renderer,
        )
        rows: list[dict[str, Any]] = found["rows"]
        return [{key: value for key, value in row.items() if not key.endswith("_s")} for row in rows]

    first = once()
    assert first == once()
    assert [(row["line"], row["judged"], row["events"]) for row in first] == [("loss2_jitter30", 5, 5)]
    assert all(row["yield_ms"]["n"] == 1 for row in first)


def test_every_event_is_drawn_where_we_speak_on_and_more_events_change_none() -> None:
    control = AgentChannel(babbled([(1.0, 5.0, 9000.0), (5.4, 14.0, 9000.0)]))
    renderer = Renderer()
    voices = renderer.voices()[:1]

    def drawn(events: int) -> list[Overlap]:
        return draw(control, events=events, voices=voices, recorded=None, renderer=renderer, seed=SEED)

    few, more = drawn(3), drawn(4)
    names = {one.name: one for one in more}
    assert [(one.packet, one.text) for one in few] == [(names[one.name].packet, names[one.name].text) for one in few]
    assert {one.kind for one in few} == set(KINDS)
    for one in more:
        assert 2.4 <= one.packet * 0.02 <= 9.1
        assert evidence(one.event, control, control).controls[one.name].left_s > 2.0
        assert any(span.start < one.event.start < span.end for span in control.spans), "not in a pause"


def test_babble_and_echo_of_a_line_are_the_simulators() -> None:
    one = overlap(EventType.TIC, 3.0)
    noisy, echoing = caller_of(one, BABBLE, 400), caller_of(one, ECHO, 400)
    quiet = caller_of(one, CLEAN, 400).pcm
    assert (echoing.echo_db, echoing.echo_delay_ms) == (-30.0, 150)
    np.testing.assert_array_equal(echoing.pcm, quiet)
    room = AgentChannel((noisy.pcm - quiet).astype(np.int16))
    assert float(np.percentile(room.levels, 50)) == pytest.approx(-30.0, abs=3.0)


def test_recorded_people_interrupt_with_what_takes_the_floor(tmp_path: Path) -> None:
    clips = [
        ("stop.wav", "word", "stop", 0.5),
        ("cat.wav", "word", "cat", 0.5),
        ("long.wav", "sentence", "this goes on and on", 6.0),
        ("mhm.wav", "backchannel", "mhm", 0.3),
        ("door.wav", "noise", "", 1.0),
    ]
    lines = ["path,split,kind,text"]
    for name, kind, text, length_s in clips:
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(spoken((0.0, length_s), length_s=length_s).astype("<i2").tobytes())
        lines.append(f"{name},dev,{kind},{text}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    recorded = Recorded.of(tmp_path)
    assert recorded.said() == {
        "interrupt": ["stop", "this goes on and on"],
        "backchannel": ["mhm"],
        "noise": ["door"],
    }
    control = AgentChannel(babbled([(1.0, 18.0, 9000.0)]))
    found = draw(control, events=4, voices=["x"], recorded=recorded, renderer=Renderer(), seed=SEED)
    by_kind = {kind: [one for one in found if one.kind is kind] for kind in recorded.clips}
    assert [len(some) for some in by_kind.values()] == [4, 4, 4]
    said = [one.text for one in by_kind[EventType.INTERRUPT]]
    assert sorted(said) == ["stop", "stop", "this goes on and on", "this goes on and on"], "each as often"
    assert max(one.clip.span.end for one in found) <= LONGEST_S


@pytest.mark.parametrize(
    ("text", "takes"), [("Stop!", True), ("no", True), ("seven", False), ("cat", False), ("go forward", True)]
)
def test_which_recorded_words_take_the_floor(text: str, takes: bool) -> None:
    assert takes_the_floor(text) == takes


class Engine:
    """Two utterances at a time."""

    def __init__(self) -> None:
        self.free = 2

    def open(self, expect: Expect, mode: Mode) -> Engine | None:
        self.free -= 1
        return self if self.free >= 0 else None

    def feed(self, pcm: NDArray[np.int16]) -> None:
        return

    def partial(self) -> Guess:
        return Guess((), 0.0)

    finish = partial

    def drop(self) -> None:
        return

    def foresee(self, expect: Expect, mode: Mode) -> None:
        return

    def prepare(self) -> bool:
        return False


def test_no_utterance_goes_without_a_decoder() -> None:
    made: list[Engine] = []

    def make() -> Engine:
        made.append(Engine())
        return made[-1]

    decoders = ManyDecoders(make)
    assert all(decoders.open(NOTHING_KNOWN, Mode.OVERLAP) is not None for _ in range(5))
    assert len(made) == 3


def test_table_has_a_cell_for_every_column() -> None:
    one = overlap(EventType.INTERRUPT, 6.5)
    agent, control = run_one(Scripted(1, 350), one)
    found = overlap_figures([evidence(one.event, AgentChannel(agent), control)])
    lines = table([{"system": "small", "line": "clean", "callers": "people", **found}]).splitlines()
    assert lines[0] == HEAD
    assert len({line.count("|") for line in lines}) == 1
    assert "1.000 [0.21–1.00] of 1" in lines[2]


def test_the_command_knows_the_lines_and_names_a_folder_without_clips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tuple(line.name for line in PROFILES) == bench_overlaps.PROFILES
    assert bench_overlaps.SEED == overlaps.SEED
    assert main(["bench", "overlaps", "--speech", str(tmp_path)]) == 1
    assert "manifest.csv" in capsys.readouterr().err
