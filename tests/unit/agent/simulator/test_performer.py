"""Scripts in virtual time: a caller against an agent that speaks when the test says so."""

from __future__ import annotations

import numpy as np
import pytest

from agent.simulator.clips import Clip, clip_of, silence
from agent.simulator.ear import Ear
from agent.simulator.performer import Frame, Performer
from agent.simulator.render import Cue
from agent.simulator.script import Sound, Step, parse_script
from agent.simulator.truth import EventType, TruthEvent

QUIET, LOUD = b"\xff" * 160, b"\x80" * 160


def tone(seconds: float) -> np.ndarray:
    return (6000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 8000)) / 8000)).astype(np.int16)


def cues(text: str, clip: Clip | None = None) -> list[Cue]:
    found = parse_script("steps:\n" + text).steps

    def cue(index: int, step: Step) -> Cue:
        sound = isinstance(step, Sound)
        return Cue(step=step, item=str(index), clip=(clip or clip_of(tone(0.5))) if sound else None, text="words")

    return [cue(index, step) for index, step in enumerate(found)]


def perform(
    text: str, *, agent: list[tuple[float, float]], clip: Clip | None = None, control: bool = False, limit_s: float = 30
) -> tuple[Performer, list[Frame]]:
    """Run a script against an agent that speaks in the given spans."""
    performer, ear, frames = Performer("c", cues(text, clip), control=control, max_s=limit_s), Ear(), []
    for k in range(1, 10_000):
        now = 0.02 * k
        begun = now - 0.02
        ear.hear(begun, LOUD if any(a <= begun < b for a, b in agent) else QUIET)
        frames.append(performer.frame(now, ear))
        if frames[-1].hang_up:
            return performer, frames
    raise AssertionError("the caller never hung up")


def only(performer: Performer, type_: EventType) -> TruthEvent:
    (found,) = [event for event in performer.events if event.type is type_]
    return found


def test_a_turn_is_dated_by_its_own_packets() -> None:
    performer, _ = perform("  - wait: 1000\n  - say: hello\n", agent=[])
    turn = only(performer, EventType.TURN)
    assert turn.start == pytest.approx(1.0, abs=0.021)
    assert turn.end - turn.start == pytest.approx(0.5, abs=1e-6)
    assert turn.expect == "reply"


def test_a_pause_inside_a_turn_is_a_hold() -> None:
    clip = clip_of(np.concatenate([tone(0.5), silence(0.8), tone(0.5)]))
    performer, _ = perform("  - say: hello\n", agent=[], clip=clip)
    hold = only(performer, EventType.HOLD)
    assert hold.end - hold.start == pytest.approx(0.8, abs=0.011)
    turn = only(performer, EventType.TURN)
    assert turn.start < hold.start < hold.end < turn.end


def test_the_caller_waits_until_the_agent_has_replied_and_fallen_silent() -> None:
    performer, _ = perform("  - wait_reply\n  - say: hello\n", agent=[(1.0, 2.0), (2.5, 3.0)])
    assert only(performer, EventType.TURN).start == pytest.approx(3.9, abs=0.05)


def test_a_reply_that_never_comes_is_noted() -> None:
    performer, _ = perform("  - wait_reply: {timeout_ms: 2000}\n", agent=[])
    assert performer.notes == ["line 2: no reply"]


def test_old_speech_of_the_agent_is_no_reply() -> None:
    performer, _ = perform(
        "  - wait_reply\n  - say: hello\n  - wait_reply\n  - say: more\n", agent=[(0.5, 1.5), (5.0, 6.0)]
    )
    turns = [event for event in performer.events if event.type is EventType.TURN]
    assert turns[1].start == pytest.approx(6.9, abs=0.05)


def test_an_interruption_comes_that_long_after_the_agent_began() -> None:
    performer, _ = perform("  - interrupt: {after_ms: 1500}\n", agent=[(1.0, 5.0)])
    assert only(performer, EventType.INTERRUPT).start == pytest.approx(2.5, abs=0.045)


def test_an_interruption_of_nobody_is_skipped_and_noted() -> None:
    performer, _ = perform("  - interrupt: {after_ms: 500, timeout_ms: 1000}\n", agent=[])
    assert performer.events == []
    assert "skipped" in performer.notes[0]


def test_a_control_run_notes_the_moment_and_says_nothing() -> None:
    real, _ = perform("  - interrupt: {after_ms: 1500}\n", agent=[(1.0, 5.0)])
    control, frames = perform("  - interrupt: {after_ms: 1500}\n", agent=[(1.0, 5.0)], control=True)
    assert all(frame.clip is None for frame in frames)
    noted, said = only(control, EventType.INTERRUPT), only(real, EventType.INTERRUPT)
    assert (noted.sent, said.sent) == (False, True)
    assert noted.start == pytest.approx(said.start, abs=0.021)
    assert noted.item == said.item


def test_keys_are_pressed_one_after_the_other() -> None:
    performer, frames = perform('  - dtmf: "42"\n', agent=[])
    assert [frame.key for frame in frames if frame.key] == ["4", "2"]
    assert [event.text for event in performer.events] == ["4", "2"]


def test_the_caller_hangs_up_when_the_call_is_too_long() -> None:
    _, frames = perform("  - wait: 60000\n", agent=[], limit_s=2.0)
    assert len(frames) == 100


def test_a_script_that_ends_hangs_up() -> None:
    _, frames = perform("  - wait: 100\n", agent=[])
    assert frames[-1].hang_up
    assert len(frames) <= 8
