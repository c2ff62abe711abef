"""Random walks over a seat: whatever the ears, the front and the gateway do, its promises hold."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.protocol import HeardWords
from agent.pool.messages import (
    BeginUtterance,
    InterruptTurn,
    SeatMessage,
    TurnEnded,
    TurnReopened,
    TurnStarted,
    UtteranceAudio,
    UtteranceEnded,
    UtteranceStarted,
)
from agent.scheduler.floor.profile import FloorProfile
from agent.scheduler.floor.table import FloorState
from agent.scheduler.seat import Seat

SCORES = st.tuples(
    st.sampled_from([0.0, 0.0, 0.4, 0.9, 0.9]),
    st.sampled_from([0.0, 0.0, 0.9]),
    st.sampled_from([0.0, 0.0, 0.0, 0.0, 0.9]),
    st.sampled_from([0.0, 0.0, 0.0, 0.9]),
)
STEPS = st.tuples(
    st.integers(1, 40),  # frames of the same scores
    SCORES,
    st.sampled_from(
        ["", "", "say", "fixed", "held", "audio", "last", "drop", "key", "hold", "words", "interrupt", "aside"]
    ),
    st.integers(0, 3),
)
PROFILE = FloorProfile(backstop_ms=1000)


class Walk:
    def __init__(self) -> None:
        self.events: list[SeatMessage] = []
        self.seat = Seat("c", row=0, number=1, profile=PROFILE, delay=0, emit=self.events.append)
        self.out = np.zeros(160, np.int16)
        self.begun: list[int] = []
        self.sent: list[tuple[int, int, bool]] = []
        """(frame number, epoch, speech) of what the gateway holds."""
        self.played = 0

    def act(self, what: str, pick: int) -> None:
        seat, number = self.seat, len(self.begun) + 1
        known = self.begun[-1 - pick % len(self.begun)] if self.begun else 0
        match what:
            case "aside":
                self.begun.append(number)
                seat.begin_utterance(BeginUtterance(call_id="c", utterance=number, interruptible=True, aside=True))
                self.audio(number, last=pick != 0)
            case "say" | "fixed" | "held":
                held = what == "held"
                self.begun.append(number)
                seat.begin_utterance(
                    BeginUtterance(
                        call_id="c",
                        utterance=number,
                        interruptible=what != "fixed",
                        on_turn=seat.turn.number if held else 0,
                        on_revision=seat.turn.revision if held else 0,
                    )
                )
                self.audio(number, last=pick == 0)
            case "audio" | "last":
                self.audio(known, last=what == "last")
            case "drop":
                seat.drop_utterance(known)
            case "key":
                seat.press_key("1")
            case "hold":
                seat.on_hold = not seat.on_hold
            case "interrupt":
                turn = seat.turn
                order = InterruptTurn(
                    call_id="c", turn=turn.number, revision=turn.revision + pick // 3, at=seat.at + 800, reason="r"
                )
                seat.interrupt(order)
            case "words":
                seat.hear_words(HeardWords(row=0, words=("w",) * pick, final=pick == 3, confidence=0.5))

    def audio(self, number: int, *, last: bool) -> None:
        pcm = np.full(4000, 5000, "<i2").tobytes()
        words: list[list[Any]] = [["a", 0, 2000, 0], ["b", 2000, 4000, 0]]
        self.seat.add_audio(UtteranceAudio(call_id="c", utterance=number, words=words, last=last, pcm=pcm))

    def frame(self, scores: tuple[float, float, float, float]) -> None:
        seat = self.seat
        seat.held = seat.on_hold
        seat.played_to(self.played)
        if seat.held:
            seat.skip(160)
        else:
            seat.hear(160, *scores)
        before, number = seat.epoch, seat.frame_no
        aside = seat.aside.number
        speech = seat.fill(self.out)
        assert before == seat.epoch
        assert speech == bool(self.out[40:].any())
        if speech and not aside:
            assert seat.floor.state in (FloorState.AGENT, FloorState.OVERLAP)
        self.played = number  # the gateway plays the frame of the tick before


def check(events: list[SeatMessage], begun: list[int]) -> None:
    ended = Counter(e.utterance for e in events if isinstance(e, UtteranceEnded))
    assert ended == Counter(begun), "exactly one UtteranceEnded for each BeginUtterance"
    open_turn = last = 0
    over: set[int] = set()
    for event in events:
        match event:
            case TurnStarted():
                assert open_turn == 0
                assert event.turn == last + 1
                open_turn = last = event.turn
            case TurnReopened():
                assert open_turn == 0
                assert event.turn == last
                open_turn = event.turn
            case TurnEnded():
                assert event.turn == open_turn
                open_turn = 0
            case UtteranceStarted():
                assert event.utterance not in over
            case UtteranceEnded():
                over.add(event.utterance)
                assert event.complete <= (event.reason == "played")
    assert open_turn == 0, "every turn ends"


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_a_seat_keeps_its_promises_on_any_walk(steps: list[tuple[int, Any, str, int]]) -> None:
    walk = Walk()
    for frames, scores, what, pick in steps:
        walk.act(what, pick)
        epoch, silent = walk.seat.epoch, True
        for _ in range(frames):
            walk.frame(scores)
            if walk.seat.epoch != epoch:  # cut in this very step: not a sample of speech of the old epoch
                epoch = walk.seat.epoch
                silent = not walk.out[40:].any()
            assert silent
    walk.seat.on_hold = False
    for _ in range(60):  # the caller is silent: the backstop ends what is open
        walk.frame((0.0, 0.0, 0.0, 0.0))
    walk.seat.close()
    check(walk.events, walk.begun)
    assert walk.seat.floor.ignored == 0, "the detectors never make an input that the table does not have"


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_the_same_walk_gives_the_same_events(steps: list[tuple[int, Any, str, int]]) -> None:
    told = []
    for _ in range(2):
        walk = Walk()
        for frames, scores, what, pick in steps:
            walk.act(what, pick)
            for _ in range(frames):
                walk.frame(scores)
        told.append([repr(event) for event in walk.events])
    assert told[0] == told[1]
