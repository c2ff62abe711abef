"""A caller without a script, in virtual time: says what it is given, listens meanwhile, hangs up when told to."""

from __future__ import annotations

import numpy as np

from agent.simulator.clips import clip_of
from agent.simulator.ear import Ear
from agent.simulator.improviser import Improviser
from agent.simulator.performer import Frame
from agent.simulator.render import Cue
from agent.simulator.script import Background, Keys, Sound
from agent.simulator.truth import EventType

LOUD = b"\x80" * 160


def said(seconds: float) -> Cue:
    tone = (6000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 8000)) / 8000)).astype(np.int16)
    return Cue(step=Sound(line=0, type=EventType.TURN), item="1", clip=clip_of(tone), text="words")


def frames(caller: Improviser, ear: Ear, first: int, count: int) -> list[Frame]:
    return [caller.frame(0.02 * k, ear) for k in range(first, first + count)]


def test_it_listens_until_it_is_given_something_and_listens_again() -> None:
    caller, ear = Improviser("c"), Ear()
    assert not [one for one in frames(caller, ear, 1, 50) if one.clip or one.hang_up]
    caller.post(said(0.2))
    spoken = frames(caller, ear, 51, 20)
    assert [one.clip is not None for one in spoken] == [True] * 10 + [False] * 10
    assert [event.text for event in caller.events] == ["words"]
    caller.hang_up()
    assert frames(caller, ear, 71, 1)[0].hang_up


def test_it_is_busy_while_something_is_said_or_waits_to_be() -> None:
    caller, ear = Improviser("c"), Ear()
    busy = [caller.is_busy]
    caller.post(said(0.2))
    for k in range(1, 13):
        busy.append(caller.is_busy)
        caller.frame(0.02 * k, ear)
    assert busy == [False] + [True] * 10 + [False] * 2


def test_keys_are_pressed_one_after_the_other() -> None:
    caller, ear = Improviser("c"), Ear()
    caller.post(Cue(step=Keys(line=0, digits="12"), item="1"))
    assert [one.key for one in frames(caller, ear, 1, 40) if one.key] == ["1", "2"]
    assert not caller.is_busy


def test_the_room_is_there_from_the_first_frame() -> None:
    room = Background(line=0, kind="babble", snr_db=10.0)
    caller = Improviser("c", opening=[Cue(step=room, item="room")])
    assert [one.change for one in frames(caller, Ear(), 1, 3)] == [room, None, None]


def test_it_tells_how_long_the_agent_has_been_silent() -> None:
    caller, ear = Improviser("c"), Ear()
    for k in range(1, 20):
        ear.hear(0.02 * k, LOUD)
    caller.frame(0.5, ear)
    assert 0.05 < caller.agent_silent_s < 0.2


def test_it_hangs_up_at_its_limit() -> None:
    caller = Improviser("c", max_s=1.0)
    assert not caller.frame(0.9, Ear()).hang_up
    assert caller.frame(1.0, Ear()).hang_up
