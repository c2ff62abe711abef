from __future__ import annotations

from pathlib import Path

import pytest

from agent.simulator.script import (
    Background,
    Echo,
    HangUp,
    Keys,
    Part,
    ScriptError,
    Sound,
    Trigger,
    Wait,
    WaitReply,
    load_script,
    parse_script,
)
from agent.simulator.truth import EventType

EXAMPLES = Path(__file__).parents[4] / "deploy" / "examples" / "scripts"


def steps(text: str) -> tuple[object, ...]:
    return parse_script("steps:\n" + text).steps


def test_every_kind_of_step_is_read() -> None:
    found = steps("""
  - wait_reply
  - say: hello there
  - say: [my number is, {pause_ms: 700}, one two three]
    expect: none
  - interrupt: {after_ms: 1500, text: "no, stop"}
  - backchannel: mhm
    after_ms: 900
  - cough
  - tic: um
  - side_talk: {after_ms: 300, text: dinner is ready}
  - noise: {kind: street, snr_db: 10}
  - noise: {kind: babble, snr_db: 5, ms: 800, after_ms: 400}
  - noise: off
  - echo: {level_db: -30, delay_ms: 150}
  - echo: off
  - dtmf: "12#"
  - wait: 250
  - wait: {ms: 300}
  - hangup
""")
    kinds = [type(step) for step in found]
    assert kinds == [
        WaitReply, Sound, Sound, Sound, Sound, Sound, Sound, Sound, Background, Sound, Background, Echo, Echo, Keys,
        Wait, Wait, HangUp,
    ]  # fmt: skip
    turn, interrupt, backchannel = found[2], found[3], found[4]
    assert isinstance(turn, Sound)
    assert turn.parts == (Part(text="my number is"), Part(pause_ms=700), Part(text="one two three"))
    assert turn.expect == "none"
    assert isinstance(interrupt, Sound)
    assert (interrupt.type, interrupt.when.trigger, interrupt.when.after_ms) == (
        EventType.INTERRUPT,
        Trigger.AGENT_SPEAKS,
        1500,
    )
    assert isinstance(backchannel, Sound)
    assert backchannel.when.after_ms == 900


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("  - say: hello\n    loud: yes", 3, "loud: unknown key"),
        ("  - shout: hello", 2, "unknown step"),
        ("  - dance", 2, "unknown step 'dance'"),
        ("  - wait: soon", 2, "must be a number"),
        ("  - wait: 1.5", 2, "whole number"),
        ("  - dtmf: 12x", 2, "keys are"),
        ("  - say: [hello, {pause_ms: 100}]", 2, "begin and end with words"),
        ("  - say: ''", 2, "says nothing"),
        ("  - say: {wav: nowhere.wav}", 2, "no such file"),
        ("  - tic: sneeze", 2, "must be one of"),
        ("  - noise: {snr_db: 900}", 2, "must lie between"),
        ("  - wait: 10\n    wait: 20", 3, "given twice"),
        ("  - [a, b]", 2, "must be a mapping"),
    ],
)
def test_an_error_names_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse_script("steps:\n" + text, where="s.yaml")
    assert caught.value.where == f"s.yaml:{line}"
    assert reason in caught.value.reason


@pytest.mark.parametrize("text", ["", "steps: []", "- a", "{", "steps: &a [*a]", "steps:\n\t- x", "name: x"])
def test_what_is_no_script_is_refused(text: str) -> None:
    with pytest.raises(ScriptError):
        parse_script(text)


def test_a_file_that_is_not_there_is_a_script_error(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="cannot be read"):
        load_script(tmp_path / "none.yaml")


def test_the_network_profile_is_read() -> None:
    found = parse_script("seed: 5\nnetwork: {loss: 0.02, jitter_ms: 30}\nsteps: [hangup]").network
    assert (found.loss, found.jitter_ms, found.seed) == (0.02, 30.0, 5)


def test_a_share_over_one_is_refused() -> None:
    with pytest.raises(ScriptError, match="loss: must lie between"):
        parse_script("network: {loss: 2}\nsteps: [hangup]")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_scripts_are_good(path: Path) -> None:
    assert load_script(path).steps
