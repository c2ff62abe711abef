from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agent.errors import ModelError
from agent.expectation import Expect, ExpectKind
from agent.model.fakes import Echo, EnergyEars, Marker, Talker
from agent.model.protocol import HeardWords, StepInput, StepOutput
from agent.pool.messages import (
    BeginUtterance,
    CallerSilent,
    CloseSeat,
    DropUtterance,
    Expecting,
    FloorMoved,
    KeyPressed,
    OverlapEnded,
    SeatClosed,
    SeatRefused,
    SetHold,
    TurnContinued,
    TurnEnded,
    TurnPaused,
    TurnReopened,
    TurnStarted,
    TurnWords,
    UtteranceEnded,
    UtteranceStarted,
)
from agent.scheduler.floor.machine import FloorMachine
from telephony.audio.marker import decode_marker
from tests.unit.agent.scheduler.engine import LOUD, SILENCE, SPEECH, Engine


class WordyEars(EnergyEars):
    """Energy ears that say ``words`` in the next step."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.next: list[HeardWords] = []

    def say(self, *words: str, row: int = 0, final: bool = False) -> None:
        self.next.append(HeardWords(row=row, words=words, final=final, confidence=0.9))

    def step(self, inputs: StepInput) -> StepOutput:
        output = super().step(inputs)
        output.words, self.next = self.next, []
        return output


def speaking(engine: Engine, *, words: int = 40, interruptible: bool = True) -> None:
    """Utterance 1 is under way and has sounded for 800 ms: too long for the caller to be going on with a turn."""
    engine.open()
    engine.say(1, words=words, interruptible=interruptible)
    engine.run(800)


def test_a_turn_starts_pauses_and_ends() -> None:
    engine = Engine()
    engine.open()
    assert engine.until(TurnStarted, SPEECH) == 60
    engine.run(500, SPEECH)
    assert engine.until(TurnPaused, SILENCE) == 100
    assert engine.until(TurnEnded, SILENCE) + 100 == 220  # 200 ms of the ears, the second step agrees
    ended = engine.all(TurnEnded)[0]
    assert (ended.turn, ended.reason, ended.released) == (1, "score", 0)
    assert ended.speech_end == 560 * 8


def test_a_pause_inside_a_turn_goes_on_without_an_end() -> None:
    engine = Engine()
    engine.open(end_score=2.0)
    engine.run(500, SPEECH)
    engine.run(600)
    engine.run(300, SPEECH)
    assert engine.names() == ["SeatOpened", "TurnStarted", "TurnPaused", "TurnContinued"]


def test_silence_ends_a_turn_whatever_the_ears_say() -> None:
    engine = Engine()
    engine.open(end_score=2.0)
    engine.run(200, SPEECH)
    assert engine.until(TurnEnded, SILENCE) == 2500
    assert engine.all(TurnEnded)[0].reason == "backstop"


def test_an_endless_turn_is_ended() -> None:
    engine = Engine()
    engine.open(max_turn_ms=2000)
    engine.run(4100, SPEECH)
    assert [e.reason for e in engine.all(TurnEnded)] == ["backstop", "backstop"]
    assert engine.all(TurnReopened) == []


def test_an_overlap_is_ducked_and_restored_when_the_caller_stops() -> None:
    engine = Engine()
    speaking(engine)
    engine.run(80, SPEECH)
    assert engine.out["a"][-1][-1] == 10000
    engine.run(20, SPEECH)
    assert engine.out["a"][-1][-1] == pytest.approx(10000 * 10 ** (-15 / 20), abs=2)  # in that very step
    assert engine.until(OverlapEnded, SILENCE) == 240
    engine.run(40)
    assert engine.out["a"][-1][-1] == 10000
    overlap = engine.all(OverlapEnded)[0]
    assert (overlap.verdict, overlap.duration_ms) == ("false_alarm", 100)
    assert engine.all(TurnStarted, UtteranceEnded) == []


def test_a_yield_is_silence_in_the_commit_of_that_very_step() -> None:
    engine = Engine()
    speaking(engine)
    assert engine.until(UtteranceEnded, SPEECH) == 900
    frame = engine.out["a"][-1]
    assert not engine.speech["a"][-1]
    assert not frame[40:].any()  # 5 ms of fade, nothing else
    assert engine.epochs["a"][-2:] == [0, 1]
    engine.run(400, SPEECH)
    assert not np.concatenate(engine.out["a"][-20:]).any()
    ended = engine.all(UtteranceEnded)[0]
    played_ms = 800 + 900 - 40  # the first frame left one tick after it was handed out; the last was not handed out
    assert (ended.reason, ended.complete) == ("yielded", False)
    assert ended.heard_words == round(played_ms / 200)
    assert ended.heard.split() == [f"w{k}" for k in range(ended.heard_words)]
    assert engine.names() == ["SeatOpened", "UtteranceStarted", "OverlapEnded", "UtteranceEnded", "TurnStarted"]


def test_after_a_yield_we_rest_so_that_giving_way_is_heard() -> None:
    engine = Engine()
    speaking(engine)
    engine.until(UtteranceEnded, LOUD)
    silent_from = len(engine.out["a"])
    engine.until(TurnEnded, SILENCE)
    engine.say(2)
    engine.run(1000)
    silent = [frame.any() for frame in engine.out["a"][silent_from:]].index(True)
    assert silent * 20 >= engine.profile.rest_after_yield_ms - 20


def test_pauses_under_the_gap_do_not_end_the_speech_clock() -> None:
    engine = Engine()
    speaking(engine)
    engine.run(400, SPEECH)
    engine.run(200)
    engine.run(280, SPEECH)
    assert engine.all(UtteranceEnded) == []
    engine.run(20, SPEECH)
    assert [e.reason for e in engine.all(UtteranceEnded)] == ["yielded"]


def test_a_high_take_score_yields_at_once() -> None:
    engine = Engine()
    speaking(engine)
    assert engine.until(UtteranceEnded, LOUD) == 20
    assert engine.all(OverlapEnded)[0].verdict == "barge_in"


def test_what_may_not_be_cut_is_ducked_at_most_and_the_turn_counts() -> None:
    engine = Engine()
    speaking(engine, words=15, interruptible=False)
    engine.say(2, words=3)
    engine.run(1200, SPEECH)
    assert [e.turn for e in engine.all(TurnStarted)] == [1]
    assert [(e.utterance, e.reason) for e in engine.all(UtteranceEnded)] == [(2, "yielded")]
    assert engine.speech["a"][-1]
    assert engine.out["a"][-1][-1] < 2000
    engine.run(1600)
    assert engine.epochs["a"][-1] == 0
    ended = engine.all(UtteranceEnded)[1]
    assert (ended.utterance, ended.complete, ended.reason) == (1, True, "played")
    assert engine.all(TurnEnded)[0].turn == 1


def test_a_held_answer_is_released_by_its_turn_and_its_words_in_the_same_step() -> None:
    ears = WordyEars(4)
    engine = Engine(ears)
    engine.open()
    engine.run(200, SPEECH)
    ears.say("hello")
    engine.until(TurnPaused, SILENCE)
    paused = engine.all(TurnPaused)[-1]
    assert paused.words == ("hello",)
    engine.say(1, on=(paused.turn, paused.revision - 1))
    engine.say(2, on=(paused.turn, paused.revision))
    engine.until(TurnEnded, SILENCE)
    assert engine.all(TurnEnded)[0].released == 2
    assert [(e.utterance, e.reason) for e in engine.all(UtteranceEnded)] == [(1, "dropped")]
    assert engine.speech["a"][-1]
    engine.say(3, words=1, on=(paused.turn, paused.revision))  # the rest of the answer that was released
    engine.run(1400)
    assert [e.utterance for e in engine.all(UtteranceStarted)] == [2, 3]


def test_other_words_drop_a_held_answer_and_ask_again() -> None:
    ears = WordyEars(4)
    engine = Engine(ears)
    engine.open(end_score=2.0)
    engine.run(200, SPEECH)
    engine.until(TurnPaused, SILENCE)
    engine.say(1, on=(1, 0))
    ears.say("no", "wait")
    engine.run(20)
    assert [(e.utterance, e.reason) for e in engine.all(UtteranceEnded)] == [(1, "dropped")]
    assert engine.all(TurnPaused)[-1].words == ("no", "wait")
    engine.say(2, on=(1, 1))
    engine.run(100, SPEECH)
    assert [(e.utterance, e.reason) for e in engine.all(UtteranceEnded)][1:] == [(2, "dropped")]
    assert len(engine.all(TurnContinued)) == 1


def test_a_turn_that_goes_on_right_after_its_end_is_reopened_and_the_answer_cut() -> None:
    ears = WordyEars(4)
    engine = Engine(ears)
    engine.open()
    engine.run(400, SPEECH)
    ears.say("my", "number", "is", final=True)
    engine.until(TurnEnded, SILENCE)
    engine.say(1)
    engine.run(200)
    engine.run(60, SPEECH)
    ears.say("one", "two")
    engine.until(TurnReopened, SPEECH)
    assert [(e.utterance, e.reason) for e in engine.all(UtteranceEnded)] == [(1, "reopened")]
    engine.until(TurnEnded, SILENCE)
    assert engine.all(TurnEnded)[1].turn == 1
    assert engine.all(TurnEnded)[1].words == ("my", "number", "is", "one", "two")
    assert len(engine.all(TurnStarted)) == 1


def test_a_complete_number_ends_the_turn_at_once_and_an_incomplete_one_waits() -> None:
    ears = WordyEars(4)
    engine = Engine(ears)
    engine.open()
    engine.send(Expecting(call_id="a", expect=Expect(kind=ExpectKind.DIGITS, digits=3).to_json()))
    engine.run(300, SPEECH)
    ears.say("one", "two")
    engine.run(600)
    assert engine.all(TurnEnded) == []
    engine.run(200, SPEECH)
    ears.say("one", "two", "three")
    assert engine.until(TurnEnded, SILENCE) == 40
    assert engine.all(TurnEnded)[0].reason == "complete"


def test_words_of_an_overlap_that_is_a_backchannel_belong_to_no_turn() -> None:
    ears = WordyEars(4)
    engine = Engine(ears)
    speaking(engine)
    engine.run(200, SPEECH)
    ears.say("mhm")
    engine.until(OverlapEnded, SILENCE)
    overlap = engine.all(OverlapEnded)[0]
    assert (overlap.verdict, overlap.words) == ("backchannel", ("mhm",))
    assert engine.all(TurnWords) == []
    ears.say("mhm")  # the recogniser says it again, late
    engine.run(1000)
    engine.until(TurnStarted, SPEECH)
    assert engine.all(TurnWords) == []


def test_a_key_cuts_what_may_be_cut_and_ends_a_turn_of_words() -> None:
    engine = Engine()
    speaking(engine)
    engine.send(KeyPressed(call_id="a", digit="1"))
    engine.run(40)
    assert [e.reason for e in engine.all(UtteranceEnded)] == ["yielded"]
    engine.run(300, SPEECH)
    engine.send(KeyPressed(call_id="a", digit="2"))
    assert [e.reason for e in engine.all(TurnEnded)] == ["key"]
    engine.say(2, interruptible=False)
    engine.run(1000)
    engine.send(KeyPressed(call_id="a", digit="3"))
    engine.run(400)
    assert [(e.utterance, e.reason) for e in engine.all(UtteranceEnded)][1:] == [(2, "played")]


def test_dropping_what_is_being_said_moves_the_epoch() -> None:
    engine = Engine()
    speaking(engine)
    engine.send(DropUtterance(call_id="a", utterance=1))
    engine.run(40)
    assert engine.epochs["a"][-1] == 1
    assert not np.concatenate(engine.out["a"][-2:]).any()
    assert [e.reason for e in engine.all(UtteranceEnded)] == ["dropped"]


def test_silence_is_told_at_each_limit() -> None:
    engine = Engine()
    engine.open()
    engine.run(20_000)
    assert [e.seconds for e in engine.all(CallerSilent)] == [7.0, 14.0]


def test_a_hold_stops_the_timers_and_our_voice() -> None:
    engine = Engine()
    speaking(engine)
    engine.send(SetHold(call_id="a", held=True))
    engine.run(9000)
    assert not np.concatenate(engine.out["a"][-400:]).any()
    assert engine.all(CallerSilent) == []
    engine.send(SetHold(call_id="a", held=False))
    engine.run(40)
    assert engine.out["a"][-1].any()
    engine.run(8000)
    assert engine.all(UtteranceEnded)[0].complete


def test_closing_a_seat_ends_its_utterances_and_frees_the_row() -> None:
    engine = Engine(rows=1)
    speaking(engine)
    engine.send(BeginUtterance(call_id="a", utterance=2, interruptible=True))
    engine.send(CloseSeat(call_id="a"))
    assert engine.names()[-3:] == ["UtteranceEnded", "UtteranceEnded", "SeatClosed"]
    del engine.seats["a"]
    engine.open("b")
    assert engine.seats["b"][1] == 2


def test_a_full_scheduler_refuses_and_so_does_one_with_a_wrong_profile() -> None:
    engine = Engine(rows=1)
    engine.open("a")
    with pytest.raises(IndexError):
        engine.open("b")
    assert engine.all(SeatRefused)[0].reason == "pool_full"


def test_frames_of_an_old_claim_are_dropped() -> None:
    engine = Engine(rows=1)
    engine.open("a")
    old = engine.seats["a"]
    engine.send(CloseSeat(call_id="a"))
    engine.open("b")
    engine.seats["a"] = old
    out = engine.step({"a": LOUD, "b": SILENCE})
    assert out.seats.tolist() == [engine.seats["b"][1]]
    assert engine.scheduler.counters.stale_rows == 1


def test_a_row_does_not_feel_its_neighbours() -> None:
    script = [SPEECH] * 20 + [SILENCE] * 30 + [LOUD] * 10 + [SILENCE] * 40
    alone, crowd = Engine(rows=4), Engine(rows=4)
    crowd.open("x")
    crowd.open("y")
    rng = np.random.default_rng(1)
    for engine in (alone, crowd):
        engine.open("a")
        engine.say(1, words=6)
    crowd.say(1, words=30, call_id="x")
    for frame in script:
        alone.step({"a": frame})
        crowd.step({"a": frame, "x": rng.integers(-9999, 9999, 160, np.int16), "y": SPEECH})
    assert np.array_equal(np.stack(alone.out["a"]), np.stack(crowd.out["a"]))
    mine = [e for e in crowd.events if e.call_id == "a"]
    assert [repr(e) for e in alone.events[1:]] == [repr(e) for e in mine[1:]]


def test_a_row_that_fails_is_given_up_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    engine.open("a")
    engine.open("b")
    seat = engine.scheduler.table.find("a")
    assert seat is not None
    hear = FloorMachine.hear

    def fail_on_a(floor: FloorMachine, *args: Any) -> Any:
        return 1 / 0 if floor is seat.floor else hear(floor, *args)

    monkeypatch.setattr(FloorMachine, "hear", fail_on_a)
    out = engine.step({"a": SPEECH, "b": SPEECH})
    assert len(out.rows) == 2
    assert [(e.call_id, e.reason) for e in engine.all(SeatClosed)] == [("a", "failed")]
    assert engine.scheduler.counters.failed_rows == 1
    engine.run(100, SPEECH, call_id="b")
    assert [e.call_id for e in engine.all(TurnStarted)] == ["b"]


def test_a_new_call_on_a_used_row_remembers_nothing() -> None:
    engine = Engine(rows=1)
    engine.open("a")
    engine.run(300, SPEECH)
    engine.send(CloseSeat(call_id="a"))
    del engine.seats["a"]
    engine.open("b")
    engine.run(1000, call_id="b")
    assert engine.names("b") == ["SeatOpened"]


def test_late_audio_is_concealed_for_200_ms_and_then_the_row_rests() -> None:
    engine = Engine()
    engine.open()
    engine.run(200, SPEECH)
    assert [engine.scheduler.conceal(0, 0) for _ in range(12)] == [True] * 10 + [False] * 2
    seat = engine.scheduler.table.find("a")
    assert seat is not None
    at = seat.at
    out = engine.step({"a": SPEECH})  # its time was stepped already
    assert (len(out.rows), seat.at) == (1, at)
    assert engine.scheduler.counters.concealed_rows == 10


def test_a_gateway_that_stood_still_moves_media_time_and_no_timer() -> None:
    engine = Engine()
    engine.open()
    engine.run(1000)
    engine.tick += 100
    engine.run(20)
    seat = engine.scheduler.table.find("a")
    assert seat is not None
    assert seat.at == 8 * (1000 + 2000 + 20)
    engine.run(5960)
    assert engine.all(CallerSilent) == []
    engine.run(40)
    assert len(engine.all(CallerSilent)) == 1


def test_our_own_audio_is_what_was_played_out_in_the_same_time() -> None:
    seen: list[tuple[int, bool]] = []

    class Watching(EnergyEars):
        def step(self, inputs: StepInput) -> StepOutput:
            seen.append((int(inputs.own[0, 0]), bool(inputs.speaking[0])))
            return super().step(inputs)

    engine = Engine(Watching(4))
    engine.open()
    engine.say(1, words=1)
    engine.run(80)
    engine.step(play=False)
    engine.step(play=False)
    assert seen == [(0, False), (10000, True), (10000, True), (10000, True), (10000, True), (0, False)]


def test_steps_longer_than_a_tick_gather_their_frames() -> None:
    engine = Engine(EnergyEars(4, step_ms=80))
    engine.open()
    assert engine.until(TurnStarted, SPEECH) == 80
    engine.run(160, SPEECH)
    engine.until(TurnEnded, SILENCE)
    assert engine.all(TurnEnded)[0].speech_end == 8 * 240


def test_a_model_that_speaks_passes_the_gain_of_the_floor_and_moves_it() -> None:
    engine = Engine(Talker(4))
    engine.open()
    engine.run(2500)
    assert [(e.before, e.after) for e in engine.all(FloorMoved)] == [
        ("open", "agent"),
        ("agent", "open"),
        ("open", "agent"),
    ]
    assert any(frame.any() for frame in engine.out["a"])
    engine.send(KeyPressed(call_id="a", digit="1"))
    engine.run(40)
    assert engine.epochs["a"][-1] == 1


def test_echo_answers_in_the_same_step() -> None:
    engine = Engine(Echo(4))
    engine.open()
    frame = np.arange(160, dtype=np.int16) * 100
    engine.step({"a": frame})
    assert np.array_equal(engine.out["a"][0], frame)


def test_marker_speaks_words_in_their_order() -> None:
    engine = Engine(Marker(4))
    engine.open()
    engine.run(1000)
    assert [k for k, _, _ in decode_marker(np.concatenate(engine.out["a"]))][:5] == [0, 1, 2, 3, 4]


def test_a_model_of_another_rate_is_refused() -> None:
    ears = EnergyEars(1)
    ears.spec = replace(ears.spec, step_ms=32)
    with pytest.raises(ModelError, match="32 ms"):
        Engine(ears)


def test_media_time_of_a_call_begins_with_its_own_first_frame() -> None:
    """Its phase had rested since the call before: that rest is none of its time. A gap inside the call is."""
    engine = Engine()
    engine.open("a")
    engine.run(100)
    engine.send(CloseSeat(call_id="a"))
    del engine.seats["a"]
    engine.tick += 200
    engine.open("b")
    engine.step()
    seat = engine.scheduler.table.find("b")
    assert seat is not None
    assert seat.at == 160
    engine.tick += 10
    engine.step()
    assert seat.at == 12 * 160
